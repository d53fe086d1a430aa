"""A causal language model as libraries ship it, at the command line: inspect, same and align."""

import re
from pathlib import Path

import pytest
import torch
from language_models import make
from safetensors.torch import load_file, save_file

import weightspace as ws
from weightspace.cli import main

MODEL = ["--model", "language_models:make", "--input", "input_ids=2,6:int"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A language model, a copy in another gauge, and the copy with another output layer."""
    monkeypatch.chdir(tmp_path)
    net = make()
    spec = ws.derive(net, {"input_ids": torch.zeros(2, 6, dtype=torch.long)})
    copy = ws.act(ws.sample(spec, 1), net.state_dict(), spec)
    for name, params in (
        ("a", net.state_dict()),
        ("b", copy),
        ("c", copy | {"head.weight": 1.01 * copy["head.weight"]}),
    ):
        save_file({key: value.contiguous() for key, value in params.items()}, f"{name}.safetensors")


@pytest.mark.usefixtures("folder")
def test_its_symmetry_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", *MODEL]) == 0
    said = capsys.readouterr().out
    assert "blocks.0.k.weight" in said
    assert "h0[8]" in said


@pytest.mark.usefixtures("folder")
def test_a_copy_is_the_same_network_and_another_output_layer_is_not() -> None:
    assert main(["same", "a.safetensors", "b.safetensors", *MODEL]) == 0
    assert main(["same", "a.safetensors", "c.safetensors", *MODEL]) == 1


@pytest.mark.usefixtures("folder")
def test_a_copy_is_aligned_back() -> None:
    assert main(["align", "a.safetensors", "b.safetensors", *MODEL, "--out", "o.safetensors"]) == 0
    first, back = load_file("a.safetensors"), load_file("o.safetensors")
    assert max(float((back[name] - first[name]).abs().max()) for name in first) < 1e-4


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["input_ids=2,6:int", "input_ids=2,6:int"], "names an input that is there already"),
        (["=2,6:int"], "names no argument of forward"),
        (["input_ids=2,6:float"], "is no shape"),
        (["tokens=2,6:int"], r"forward raised .*tokens=\[2, 6\]"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_keyword_inputs_that_cannot_be_used_are_refused(
    inputs: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for text in inputs for word in ("--input", text)]
    assert main(["inspect", "--model", "language_models:make", *words]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said), said
