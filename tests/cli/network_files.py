"""Network files for tests of verbs that read and write them: an architecture, orbit copies, shards."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import weightspace as ws
from weightspace.cli import main

SPEC = "in[3] fixed\nh0[5] positive\nout[2] fixed\n\n0.weight h0 in~\n0.bias h0\n2.weight out h0~\n2.bias out\n"

NETS = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))

def tanh():
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)), torch.zeros(4, 3)

def norm():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
"""


def random_network(seed: int, text: str = SPEC) -> dict[str, torch.Tensor]:
    """One network with random parameters."""
    spec = ws.parse(text)
    stacked = ws.testing.random_params(spec, 1, seed=seed)
    return {name: value[0].float().contiguous() for name, value in stacked.items()}


def write_shards(folder: Path, params: dict[str, torch.Tensor], *, per_shard: int = 2) -> None:
    """A sharded checkpoint with metadata in every shard and in the index."""
    folder.mkdir()
    names = list(params)
    parts = [names[start : start + per_shard] for start in range(0, len(names), per_shard)]
    places = {}
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        save_file({name: params[name] for name in part}, folder / file, {"format": "pt", "shard": str(number)})
        places |= dict.fromkeys(part, file)
    total = sum(value.numel() * value.element_size() for value in params.values())
    index = {"metadata": {"total_size": total, "trained_by": "us"}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def files_in(folder: Path) -> set[str]:
    """Names of everything in a folder, hidden files included."""
    return {path.name for path in folder.iterdir()}


def write_damaged(folder: Path, first: Path, text: str = SPEC) -> None:
    """Everything that can be wrong with a network of the spec, made from a file of one, and two wrong specs.

    Files: ``short`` lacks a parameter, ``wide`` and ``classes`` have other sizes, ``nan`` is not finite, ``cut`` is
    truncated, ``gap`` lacks a shard, ``empty`` is an empty folder; ``wrong.txt`` allows what changes the function,
    ``other.txt`` has another size.
    """
    params = load_file(first)
    hidden, out = re.findall(r"(?m)^(?:h0|out)\[\d+\]", text)
    (folder / "wrong.txt").write_text(text.replace("positive", "nonzero"))
    (folder / "other.txt").write_text(text.replace(hidden, "h0[6]"))
    save_file({k: v for k, v in params.items() if k != "0.bias"}, folder / "short.safetensors")
    save_file(random_network(0, text.replace(hidden, "h0[7]")), folder / "wide.safetensors")
    save_file(random_network(0, text.replace(out, "out[4]")), folder / "classes.safetensors")
    save_file(params | {"2.weight": params["2.weight"] * float("nan")}, folder / "nan.safetensors")
    (folder / "cut.safetensors").write_bytes(first.read_bytes()[:-9])
    write_shards(folder / "gap", params)
    (folder / "gap" / "model-00002-of-00002.safetensors").unlink()
    (folder / "empty").mkdir()


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file in a folder and below, what Python compiles left out."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def refused(words: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with code 2 and one message that holds the given words, and the folder is as it was."""
    before = contents(folder)
    assert main(words) == 2
    printed = capsys.readouterr()
    assert message in " ".join(printed.err.split())
    assert printed.err.count("error: ") == 1
    assert "Traceback" not in printed.err
    assert contents(folder) == before
