"""``ws.same`` as a classifier: copies of a network in other gauges against near misses, under rounding.

    python benchmarks/same_roc.py [--out runs/same_roc] [--copies 20]

50 trained networks: 15 tanh and 15 ReLU MLPs of the embedded digits (as ``weightspace zoo make`` makes them), 8 small
CNNs with batch normalization, 6 SIRENs of single digits, and 6 of a patch embedding with an attention block. A copy is
the network after a random element (positive scales in [1/4, 4]), rounded to float32, float16, bfloat16, or to 8-bit
weights (symmetric, one step per tensor or per output channel, biases in float32, then compared with ``bits=8``). Near
misses are rounded and moved alike: the next checkpoint of the run, one weight (drawn at random) changed by 1 %, and the
fan-in of one layer permuted without its fan-out. The other side of each comparison is the network as trained, float32.

The score is ``Sameness.roundings``. Prints areas under the ROC curve and errors at the default limit, and writes
results.csv, results.json, rows.csv and roc.svg. A quarter of an hour of processor time.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _timing import environment, print_table
from rich.console import Console
from rich.progress import track
from scipy.stats import rankdata
from torch import Tensor, nn

import weightspace as ws

Params = dict[str, Tensor]
FLOATS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
NOISES = (*FLOATS, "int8", "int8 by channel")
MISSES = ("next checkpoint", "one weight, 1 %", "fan-in permuted")
NUMBERS = {"MLP tanh": 15, "MLP ReLU": 15, "CNN with BN": 8, "SIREN": 6, "attention": 6}
MAX_SCALE = 4.0


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained network, the one that training made of it a little later (or before), and their symmetry."""

    family: str
    seed: int
    spec: ws.SymmetrySpec
    params: Params
    later: Params


class Attention(nn.Module):
    """16 patches of a digit, a residual attention block with two heads and one with ReLU, the mean read."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(4, 16), nn.LayerNorm(16)
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.up, self.down, self.read = nn.Linear(16, 32), nn.Linear(32, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        patches = x.unflatten(1, (4, 2, 4, 2)).transpose(2, 3).flatten(3).flatten(1, 2)
        h = self.embed(patches)
        normal = self.norm(h)
        heads = (part(normal).unflatten(2, (2, 8)).transpose(1, 2) for part in (self.q, self.k, self.v))
        mixed = nn.functional.scaled_dot_product_attention(*heads)
        h = h + self.o(mixed.transpose(1, 2).flatten(2))
        h = h + self.down(self.up(h).relu())
        return self.read(h.mean(1))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 16, 3, stride=2, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


def state(net: nn.Module) -> Params:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def classifier(family: str, seed: int, images: ws.zoo.Images) -> Subject:
    """After five and six epochs of Adam."""
    torch.manual_seed(seed)
    net = cnn() if family == "CNN with BN" else Attention()
    optimizer, states = torch.optim.Adam(net.parameters(), lr=3e-3), []
    for _ in range(6):
        for index in torch.randperm(len(images.train_x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images.train_x[index]), images.train_y[index]).backward()
            optimizer.step()
        states.append(state(net))
    return Subject(family, seed, ws.derive(net.eval(), images.test_x[:2]), states[-2], states[-1])


def siren(seed: int, images: ws.zoo.Images) -> Subject:
    """After 200 and 220 steps of Adam on one digit."""
    torch.manual_seed(seed)
    net = ws.zoo.Siren()
    line = torch.linspace(-1, 1, 8)
    places, values = torch.cartesian_prod(line, line), images.train_x[seed].reshape(-1, 1)
    optimizer, states = torch.optim.Adam(net.parameters(), lr=1e-3), []
    for step in range(1, 221):
        optimizer.zero_grad()
        nn.functional.mse_loss(net(places), values).backward()
        optimizer.step()
        states += [state(net)] if step >= 200 and step % 20 == 0 else []
    return Subject("SIREN", seed, ws.derive(net, places), *states)


def from_zoo(family: str, recipe: str, num: int) -> Iterator[Subject]:
    """After two and four epochs, of every run that kept both."""
    with tempfile.TemporaryDirectory() as folder:
        zoo = ws.zoo.make_zoo(ws.recipes.zoo(recipe), folder, num=num)
        params = zoo.load()
        for seed in range(num):
            two, four = (
                {k: v[place] for k, v in params.items()} for place in np.flatnonzero(zoo.rows["id"] == seed)[-2:]
            )
            yield Subject(family, seed, zoo.spec, two, four)


def subjects() -> list[Subject]:
    images = ws.zoo.load_images("digits")
    found = [*from_zoo("MLP tanh", "digits_mlp_tanh", 15), *from_zoo("MLP ReLU", "digits_mlp_relu", 15)]
    for family in ("CNN with BN", "attention"):
        found += [classifier(family, seed, images) for seed in range(NUMBERS[family])]
    return [*found, *(siren(seed, images) for seed in range(NUMBERS["SIREN"]))]


def rounded(params: Params, noise: str) -> Params:
    """Through another number type; 8 bits and back to float32 for weights, ``noise`` says with which steps."""
    result = {}
    for name, value in params.items():
        if noise in FLOATS:
            result[name] = value.to(FLOATS[noise]) if value.is_floating_point() else value
            continue
        result[name] = value.float() if value.is_floating_point() else value
        if value.dim() > 1:
            away = tuple(range(int(noise == "int8 by channel"), value.dim()))
            step = result[name].abs().amax(away, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny) / 127
            result[name] = (result[name] / step).round() * step
    return result


def missed(subject: Subject, miss: str, draw: np.random.Generator) -> Params:
    """A network that is nearly the subject."""
    if miss == "next checkpoint":
        return dict(subject.later)
    weights = [name for name, axes in subject.spec.params if len(axes) > 1]
    if miss == "one weight, 1 %":
        name = weights[int(draw.integers(len(weights)))]
        value = subject.params[name].double().clone()
        value.view(-1)[int(draw.integers(value.numel()))] *= 1.01
        return subject.params | {name: value}
    # All parameters whose first axis runs over the neurons of one hidden layer, and nothing else.
    firsts = {name: axes[0].space for name, axes in subject.spec.params if axes and len(axes[0].parts) == 1}
    root = {name: subject.spec.root(space) for name, space in firsts.items() if space}
    hidden = [name for name in weights if name in root and not subject.spec.space[root[name]].fixed]
    chosen = hidden[int(draw.integers(len(hidden)))]
    moved = torch.as_tensor(draw.permutation(subject.spec.space[root[chosen]].size))
    return subject.params | {chosen: subject.params[chosen][moved]}


def compared(copies: int, subject: Subject) -> list[dict]:
    """All comparisons of one network with its copies and its near misses."""
    torch.set_num_threads(1)
    rows = []
    for kind in ("copy", *MISSES):
        for copy in range(copies if kind == "copy" else (copies + 9) // 10):
            draw = np.random.default_rng([subject.seed, copy, len(kind), len(subject.family)])
            other = subject.params if kind == "copy" else missed(subject, kind, draw)
            other = {name: value.double() if value.is_floating_point() else value for name, value in other.items()}
            element = ws.sample(subject.spec, int(draw.integers(2**31)), max_scale=MAX_SCALE)
            moved = ws.act(element, other, subject.spec)
            for noise in NOISES:
                bits = None if noise in FLOATS else 8
                found = ws.same(subject.params, rounded(moved, noise), subject.spec, bits=bits)
                row = {"network": subject.family, "seed": subject.seed, "kind": kind, "noise": noise}
                rows.append({**row, "roundings": found.roundings, "distance": found.distance, "same": bool(found)})
    return rows


def summary(rows: list[dict]) -> list[dict]:
    """By noise and kind of near miss, over all networks and by family: area under the curve, and errors."""
    cells = []
    for family in ("all", *NUMBERS):
        here = [row for row in rows if family in ("all", row["network"])]
        for noise in NOISES:
            copies = [row for row in here if (row["kind"], row["noise"]) == ("copy", noise)]
            for miss in MISSES:
                others = [row for row in here if (row["kind"], row["noise"]) == (miss, noise)]
                near, far = ([row["roundings"] for row in part] for part in (copies, others))
                ranks = rankdata([*near, *far])[len(near) :]
                area = (ranks.sum() - len(far) * (len(far) + 1) / 2) / (len(near) * len(far))
                cell = {"network": family, "noise": noise, "near miss": miss, "auc": float(area)}
                cell |= {"copies": len(near), "called different": sum(not row["same"] for row in copies)}
                cell |= {"misses": len(far), "called same": sum(row["same"] for row in others)}
                cells.append({**cell, "largest of copies": max(near), "smallest of misses": min(far)})
    return cells


def plot(rows: list[dict], path: Path) -> None:
    """ROC curves, a panel for each noise."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(NOISES), figsize=(2.6 * len(NOISES), 2.8), sharey=True)
    for panel, noise in zip(panels, NOISES, strict=True):
        near = np.sort([row["roundings"] for row in rows if (row["kind"], row["noise"]) == ("copy", noise)])
        for miss in MISSES:
            far = np.sort([row["roundings"] for row in rows if (row["kind"], row["noise"]) == (miss, noise)])
            limits = np.unique([0.0, *near, *far])
            x, y = (np.searchsorted(part, limits, side="right") / len(part) for part in (far, near))
            panel.step([0, *x, 1], [0, *y, 1], where="post", label=miss)
        panel.set_title(noise, fontsize=9)
        panel.set_xlabel("near misses called same")
    panels[0].set_ylabel("copies called same")
    panels[0].legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def write(path: Path, text: str) -> None:
    """The file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)


def as_csv(rows: list[dict]) -> str:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(rows[0]))
    writer.writeheader()
    writer.writerows({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    return sink.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description="ws.same as a classifier")
    parser.add_argument("--out", type=Path, default=Path("runs/same_roc"), metavar="DIR")
    parser.add_argument(
        "--copies", type=int, default=20, help="copies of each network; a tenth as many of each near miss"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    work = subjects()
    rows: list[dict] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(partial(compared, args.copies), work)
        for found in track(done, "networks", total=len(work), console=Console(stderr=True)):
            rows += found
    cells = summary(rows)
    args.out.mkdir(parents=True, exist_ok=True)
    write(args.out / "rows.csv", as_csv(rows))
    write(args.out / "results.csv", as_csv(cells))
    write(args.out / "results.json", json.dumps({"environment": environment(), "cells": cells}, indent=1) + "\n")
    plot(rows, args.out / "roc.svg")
    header = ["noise", "near miss", "AUC", "copies called different", "misses called same", "copies to", "misses from"]
    lines = []
    for cell in cells:
        if cell["network"] == "all":
            errors = [f"{cell['called different']} of {cell['copies']}", f"{cell['called same']} of {cell['misses']}"]
            ends = [f"{cell['largest of copies']:.3g}", f"{cell['smallest of misses']:.3g}"]
            lines.append([cell["noise"], cell["near miss"], f"{cell['auc']:.4f}", *errors, *ends])
    print_table(header, lines)
    print(f"\nwritten to {args.out}")


if __name__ == "__main__":
    main()
