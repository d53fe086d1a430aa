"""docs/adding-a-task.md: its code in files, its commands typed, and what they print."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout

import pytest
from page_code import FILES, PAGE, ROOT, written

from weightspace.cli import main
from weightspace.run import record

COMMANDS = [
    shlex.split(line)[1:] for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
PRINTED = [block for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) if "┏" in block]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """The folder in which the commands were typed, and what the evaluations printed.

    The last command has a process of its own, which finds the user's modules without help of Python's.
    """
    folder, patch, printed = written(tmp_path_factory.mktemp("user")), pytest.MonkeyPatch(), []
    patch.chdir(folder)
    patch.setattr(sys, "path", [*sys.path])
    *first, last = COMMANDS
    try:
        for words in first:
            with redirect_stdout(io.StringIO()) as out:
                assert main(words) == 0
            printed += [out.getvalue()] if words[0] == "evaluate" else []
    finally:
        patch.undo()
        for name in FILES:
            sys.modules.pop(name.removesuffix(".py"), None)
    line = [sys.executable, "-P", "-m", "weightspace", *last]
    paths = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=folder, env=os.environ | paths, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, [*printed, done.stdout]


def without_numbers(text: str) -> list[str]:
    """Its words; numbers, times and the width of the table are the machine's."""
    return re.sub(r"[\d.]+( [mµ]?s\b)?|[━┳╇╈┃│┏┓┡┩└┴┘─]", " ", text).split()


def test_the_page_has_what_it_promises():
    assert list(FILES) == ["mean_output.py", "moments.py"]
    assert [words[0] for words in COMMANDS] == ["train", "evaluate", "train", "evaluate"]


def test_the_commands_print_what_the_page_says(said):
    _, printed = said
    assert [without_numbers(text) for text in printed] == [without_numbers(text) for text in PRINTED]


def test_every_run_is_complete(said):
    folder, _ = said
    for run in ("toy", "toy-moments"):
        for name in record.FILES:
            assert (folder / run / name).stat().st_size, name
        found = json.loads((folder / run / record.RESULTS).read_text())
        assert all(row["status"] == "done" for row in found["rows"])
        assert found["num_networks"] == {"train": 160, "val": 20, "test": 20}
        page = (folder / run / record.REPORT).read_text()
        assert "Reading networks (mean output): toy" in page
        assert "validation" in page


def test_the_functional_reads_more_off_the_networks_than_nothing(said):
    folder, _ = said
    rows = {row["method"]: row for row in json.loads((folder / "toy" / record.RESULTS).read_text())["rows"]}
    assert rows["ours"]["error"]["mean"] < 0.8 * rows["constant"]["error"]["mean"]


def test_the_same_command_leaves_a_finished_run_alone(said, monkeypatch):
    folder, _ = said
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = (folder / "toy-moments" / record.CHECKPOINT).read_bytes()
    assert main(COMMANDS[2]) == 0
    assert (folder / "toy-moments" / record.CHECKPOINT).read_bytes() == before
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)
