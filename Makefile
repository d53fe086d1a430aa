# Two commands do all the set-up, whichever comes first: `make demo` and `make test`.
# The interpreter for .venv: python3, or a newer one by name where python3 is older than 3.11.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: demo test lint types examples clean

# The mark is written last: a .venv without it was interrupted, and is begun again.
.venv/.ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: weightspace needs Python 3.11 or newer and found none." \
		"Install one, or type: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "setting up .venv with $(PYTHON) (once, about two minutes)"
	@test -e $@ || rm -rf .venv
	@rm -f $@
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -c "import torch, weightspace"
	@touch $@

demo: .venv/.ready
	$(BIN)/weightspace demo --out demo

# Many tests start an interpreter of their own: compiled modules are kept even where the user's shell says not to.
test: .venv/.ready
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.ready
	$(BIN)/pyright

examples: .venv/.ready
	OMP_NUM_THREADS=2 $(BIN)/python examples/run_all.py

clean:
	rm -rf .venv demo
