"""``audit``: a table and a file, code 1 for a law that fails, 2 with one message for what cannot be audited."""

import json

import pytest

from weightspace.cli import main

FACTORIES = """
import torch
from weightspace.nn import InvariantFunctional

def make(spec):
    torch.manual_seed(0)
    return InvariantFunctional(spec, 4, 2, rounds=1)

def broken(spec):
    return InvariantFunctional(spec, 4, 2, rounds=1, symmetry_broken=True)

def fails(spec):
    raise RuntimeError("no such width")

def number(spec):
    return 3

WIDTH = 8
"""
SPEC = "in[3] fixed\nh0[5] positive\nout[2] fixed\n\n0.weight h0 in~\n0.bias h0\n2.weight out h0~\n2.bias out\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "audited_nets.py").write_text(FACTORIES)
    (tmp_path / "spec.txt").write_text(SPEC)


def run(model, spec="spec.txt", out="audit.json"):
    return main(["audit", "--model", model, "--spec", spec, "--out", out])


def test_a_sound_metanetwork_ends_with_0_and_its_table_lies_in_the_file(tmp_path, capsys):
    assert run("audited_nets:make") == 0
    assert "all laws hold" in capsys.readouterr().out
    found = json.loads((tmp_path / "audit.json").read_text())
    assert found["passed"]
    assert found["kind"] == "functional"
    assert {"space", "group", "float64", "float32", "plain", "member", "passed"} == set(found["rows"][0])


def test_a_broken_metanetwork_ends_with_1_and_names_the_law(tmp_path, capsys):
    assert run("audited_nets:broken") == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "fails: not invariant under the positive scale of h0" in text
    assert not json.loads((tmp_path / "audit.json").read_text())["passed"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("audited_nets",), "Write package.module:factory"),
        (("no_such_module:make",), "importing 'no_such_module' fails"),
        (("some/nets.py:make",), "names a file. Name the module: go to some and write --model nets:make"),
        (("audited_nets:mak",), "has no 'mak'. It has: InvariantFunctional, broken, fails, make, number."),
        (("audited_nets:WIDTH",), "'WIDTH' is int, not a function"),
        (("audited_nets:fails",), "fails on this spec (RuntimeError: no such width)"),
        (("audited_nets:number",), "returns int"),
        (("audited_nets:make", "none.txt"), "cannot read --spec none.txt"),
        (("audited_nets:make", "audited_nets.py"), "line 3 of the spec"),
        (("audited_nets:make", "spec.txt", "audit.csv"), "is not a .json file"),
    ],
)
def test_what_cannot_be_audited_ends_with_2_and_writes_nothing(words, said, tmp_path, capsys):
    assert run(*words) == 2
    text = " ".join(capsys.readouterr().err.split())
    assert text.startswith("error: ")
    assert said in text
    assert "Traceback" not in text
    assert not list(tmp_path.glob("audit.*"))
