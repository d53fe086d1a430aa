# Two commands do all the set-up, whichever comes first: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types examples clean

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -c "import torch, weightspace"
	touch $@

demo: .venv/.ready
	$(BIN)/weightspace demo --out demo

test: .venv/.ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.ready
	$(BIN)/pyright

examples: .venv/.ready
	OMP_NUM_THREADS=2 $(BIN)/python examples/run_all.py

clean:
	rm -rf .venv demo
