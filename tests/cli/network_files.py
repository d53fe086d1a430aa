"""Network files for tests of verbs that read and write them: an architecture, orbit copies, shards."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

import weightspace as ws

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
