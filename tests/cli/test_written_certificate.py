"""What is certified is the file that was written, rounding to its number types included."""

import re
from pathlib import Path

import pytest
import torch
from network_files import NETS, random_network
from safetensors.torch import load_file, save_file

from weightspace.cli import main
from weightspace.run.verbs.outputs import output_difference

MODEL = ["--model", "written_nets:make", "--input", "64,3"]
TYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "written_nets.py").write_text(NETS)
    return tmp_path


def real_difference(first: str, second: str) -> float:
    """Of the outputs of two files."""
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    pair = [{name: value.double() for name, value in load_file(file).items()} for file in (first, second)]
    return output_difference(net, *pair, torch.zeros(64, 3))


def said(text: str) -> float:
    return float(re.findall(r"(?:relative|written, relative|the result by):? ([0-9.e+-]+)", text)[-1])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("dtype", TYPES)
def test_the_printed_change_is_that_of_the_written_file(dtype: torch.dtype, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate("ab"):
        save_file({key: value.to(dtype) for key, value in random_network(seed).items()}, f"{name}.safetensors")
    assert main(["align", "a.safetensors", "b.safetensors", *MODEL, "--out", "o.safetensors"]) == 0
    real, printed = real_difference("b.safetensors", "o.safetensors"), said(capsys.readouterr().out)
    assert printed == pytest.approx(real, rel=0.06)
    assert main(["perturb", "b.safetensors", *MODEL, "--out", "p"]) == 0
    real, printed = real_difference("b.safetensors", "p/copy-0000.safetensors"), said(capsys.readouterr().out)
    assert printed == pytest.approx(real, rel=0.06)
    eps = torch.finfo(dtype).eps
    assert eps / 100 < real < 10 * eps


@pytest.mark.usefixtures("folder")
def test_a_permutation_alone_is_exact_in_every_number_type(capsys: pytest.CaptureFixture[str]) -> None:
    save_file({key: value.bfloat16() for key, value in random_network(1).items()}, "b.safetensors")
    assert main(["perturb", "b.safetensors", *MODEL, "--kind", "permutations", "--out", "p"]) == 0
    assert said(capsys.readouterr().out) < 1e-14


@pytest.mark.usefixtures("folder")
def test_what_rounding_does_to_a_merged_network_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate("ab"):
        save_file({key: value.bfloat16() for key, value in random_network(seed).items()}, f"{name}.safetensors")
    assert main(["merge", "a.safetensors", "b.safetensors", *MODEL, "--out", "m.safetensors"]) == 0
    assert 1e-4 < said(capsys.readouterr().out) < 0.1
