"""`weightspace dedupe` on a folder of 10,000 checkpoints: time, and whether every group is right.

    python benchmarks/dedupe.py [--files 10000] [--activation relu] [--json runs/dedupe/benchmark.json]

MLPs 64-48-32-16-10 with ReLU (or tanh). Half of the files are networks: four in five of a training of their own, the
fifth from runs of ten checkpoints, one step of training apart. The other half are one copy of each in a random gauge,
every third in float16, all in shuffled names. The command runs as a process of its own with both cores; the groups must
be exactly those planted, with none missed and no two checkpoints joined. A second run finds all vectors in the cache.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import csv
import itertools
import json
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch
from _timing import environment
from rich.progress import track
from safetensors.torch import save_file
from torch import nn

import weightspace as ws

WIDTHS = (64, 48, 32, 16, 10)
STEPS = 10
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def network(activation: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(WIDTHS):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


def networks(activation: type[nn.Module], seed: int) -> list[dict[str, torch.Tensor]]:
    """Ten networks after a few steps of training on random labels: ten runs, or the last ten steps of one."""
    adjacent, found = seed % 5 == 0, []
    for run in range(1 if adjacent else STEPS):
        torch.manual_seed(STEPS * seed + run)
        net = network(activation)
        optimizer = torch.optim.SGD(net.parameters(), 0.01)
        images, labels = torch.randn(64, WIDTHS[0]), torch.randint(WIDTHS[-1], (64,))
        for step in range(5 + STEPS if adjacent else 5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
            if step >= 5 or (step == 4 and not adjacent):
                found.append({name: value.clone() for name, value in net.state_dict().items()})
    return found


def make(folder: Path, num: int, activation: type[nn.Module]) -> tuple[ws.SymmetrySpec, dict[str, int]]:
    """Files, and by name which network each of them holds."""
    spec = ws.derive(network(activation), torch.zeros(2, WIDTHS[0]))
    names = torch.randperm(num, generator=torch.Generator().manual_seed(0)).tolist()
    holds: dict[str, int] = {}
    for run in track(range(num // (2 * STEPS)), "making files"):
        for step, params in enumerate(networks(activation, run)):
            which = run * STEPS + step
            wide = {name: value.double() for name, value in params.items()}
            copy = ws.act(ws.sample(spec, which), wide, spec)
            dtype = torch.float16 if which % 3 == 0 else torch.float32
            for place, kept in enumerate((params, {n: v.to(dtype) for n, v in copy.items()})):
                name = f"{names[2 * which + place]:05d}.safetensors"
                save_file(kept, folder / name)
                holds[name] = which
    return spec, holds


def run(folder: Path, spec: Path, out: Path) -> tuple[float, float]:
    """Seconds on the clock, and of processor time on all cores."""
    words = [sys.executable, "-m", "weightspace", "dedupe", str(folder), "--spec", str(spec), "--out", str(out)]
    before, began = os.times(), time.perf_counter()
    subprocess.run(words, check=True)
    after, seconds = os.times(), time.perf_counter() - began
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, used


def differences(out: Path, holds: dict[str, int]) -> tuple[int, int]:
    """Groups that hold more than one network, and networks in more than one group."""
    networks, groups = defaultdict(set), defaultdict(set)
    with out.open() as file:
        for row in csv.DictReader(file):
            which = holds[Path(row["file"]).name]
            networks[row["group"]].add(which)
            groups[which].add(row["group"])
    assert len(groups) == len(set(holds.values())), "a file is missing from the table"
    return sum(len(found) > 1 for found in networks.values()), sum(len(found) > 1 for found in groups.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--activation", choices=ACTIVATIONS, default="relu")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, spec_file, out = Path(place, "files"), Path(place, "spec.txt"), Path(place, "groups.csv")
        folder.mkdir()
        spec, holds = make(folder, args.files, ACTIVATIONS[args.activation])
        spec_file.write_text(ws.to_text(spec))
        seconds, used = run(folder, spec_file, out)
        joined, split = differences(out, holds)
        again, used_again = run(folder, spec_file, out)
    result = {
        "files": len(holds),
        "networks": len(set(holds.values())),
        "activation": args.activation,
        "seconds": round(seconds, 1),
        "files per second": round(len(holds) / seconds),
        "processor seconds": round(used, 1),
        "seconds with the cache": round(again, 1),
        "processor seconds with the cache": round(used_again, 1),
        "load": round(os.getloadavg()[0], 1),
        "groups of several networks": joined,
        "networks in several groups": split,
        "cores": os.cpu_count(),
    }
    print(json.dumps(result, indent=1))
    assert not joined, "different networks were joined"
    assert not split, "copies were missed"
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result | {"environment": environment()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
