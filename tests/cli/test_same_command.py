"""The verbs inspect, same and fingerprint: results, exit codes and clear refusals."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import weightspace as ws
from weightspace.cli import main

SPEC = "in[3] fixed\nh0[5] positive\nout[2] fixed\n\n0.weight h0 in~\n0.bias h0\n2.weight out h0~\n2.bias out\n"
NETS = """
from torch import nn

def make():
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))

class Sorted(nn.Module):
    def forward(self, x):
        return x.sort(-1).values

def sorted_neurons():
    return nn.Sequential(nn.Linear(3, 4), Sorted(), nn.Linear(4, 2))

def number():
    return 3
"""
MODEL = ["--model", "small_nets:make", "--input", "4,3"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec, a module of factories, a network, a copy in another gauge, and another network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "small_nets.py").write_text(NETS)
    (tmp_path / "spec.txt").write_text(SPEC)
    spec = ws.parse(SPEC)
    first = {name: value[0].contiguous() for name, value in ws.testing.random_params(spec, 1).items()}
    copy = ws.act(ws.sample(spec, 1), first, spec)
    save_file(first, tmp_path / "a.safetensors")
    torch.save({f"module.{name}": value for name, value in copy.items()}, tmp_path / "b.pt")
    save_file(first | {"2.bias": first["2.bias"] * 1.01}, tmp_path / "c.safetensors")
    return tmp_path


def test_a_copy_in_another_gauge_is_the_same_network_and_the_element_is_saved(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["same", "a.safetensors", "b.pt", "--spec", "spec.txt", "--out", "element.safetensors"]) == 0
    assert "same network" in capsys.readouterr().out
    found, spec = load_file(folder / "element.safetensors"), ws.parse(SPEC)
    element = ws.Element({"h0": found["perm.h0"]}, {"h0": found["scale.h0"]})
    moved = ws.act(element, load_file(folder / "a.safetensors"), spec)
    for name, value in torch.load(folder / "b.pt", weights_only=True).items():
        torch.testing.assert_close(moved[name.removeprefix("module.")], value)


def test_another_network_ends_with_code_1_and_is_different_where_it_can_be_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["same", "a.safetensors", "c.safetensors", "--out", "element.safetensors"]
    assert main([*words, "--spec", str(folder / "spec.txt")]) == 1
    printed = capsys.readouterr().out
    assert "no element found: whether they compute the same was not tried" in " ".join(printed.split())
    assert main([*words, *MODEL]) == 1
    assert "different networks: outputs differ by" in capsys.readouterr().out
    assert not (folder / "element.safetensors").exists()


def test_one_function_without_an_element_ends_with_code_1_and_says_why(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = load_file(folder / "a.safetensors")
    dead["2.weight"][:, 1] = 0
    save_file(dead, folder / "dead.safetensors")
    save_file(dead | {"0.bias": dead["0.bias"] + torch.eye(5)[1]}, folder / "other.safetensors")
    assert main(["same", "dead.safetensors", "other.safetensors", *MODEL]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "same function, no element of this spec: outputs agree" in printed
    assert "they agree but for weights of dead neurons (h0: 1)" in printed


def test_a_quantized_copy_is_the_same_network_once_its_bits_are_said(folder: Path) -> None:
    small = load_file(folder / "a.safetensors")
    step = small["0.weight"].abs().max() / 127
    save_file(small | {"0.weight": (small["0.weight"] / step).round() * step}, folder / "q.safetensors")
    words = ["same", "a.safetensors", "q.safetensors", "--spec", "spec.txt"]
    assert main(words) == 1
    assert main([*words, "--bits", "8"]) == 0


def test_fingerprints_are_equal_on_an_orbit(folder: Path) -> None:
    assert main(["fingerprint", "a.safetensors", "b.pt", "--spec", "spec.txt", "--out", "names.csv"]) == 0
    rows = [line.split(",") for line in (folder / "names.csv").read_text().splitlines()]
    assert [row[0] for row in rows] == ["file", "a.safetensors", "b.pt"]
    assert rows[1][1] == rows[2][1]


def test_inspect_prints_the_spec_and_writes_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--model", "small_nets:make", "--input", "4,3", "--out", "found.txt"]) == 0
    assert ws.parse((folder / "found.txt").read_text()) == ws.parse(SPEC)
    assert "in all" in capsys.readouterr().out


BAD = {
    "no example": (["inspect", "--model", "small_nets:make"], "Add its shape, e.g. --input 2,3,32,32"),
    "no shape": (["inspect", "--model", "small_nets:make", "--input", "3x4"], "'3x4' is no shape"),
    "no module": (
        ["inspect", "--model", "small_nets:number", "--input", "4,3"],
        "returns int. Return a torch",
    ),
    "refused": (["inspect", "--model", "small_nets:sorted_neurons", "--input", "4,3"], "it calls sort"),
    "missing file": (["same", "a.safetensors", "d.pt", "--spec", "spec.txt"], "d.pt does not exist"),
    "wrong suffix": (
        ["same", "a.safetensors", "b.pt", "--spec", "spec.txt", "--out", "x.npy"],
        "not a .safetensors",
    ),
    "no grid": (
        ["same", "a.safetensors", "b.pt", "--spec", "spec.txt", "--bits", "32"],
        "bits is 32; grids of 2 to 16",
    ),
    "other network": (["same", "a.safetensors", "e.safetensors", "--spec", "spec.txt"], "e.safetensors: parameter"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_code_2_and_one_message(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"0.weight": torch.zeros(5, 4)}, folder / "e.safetensors")
    words, message = BAD[name]
    assert main(words) == 2
    printed = capsys.readouterr()
    assert message in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert not (folder / "x.npy").exists()
