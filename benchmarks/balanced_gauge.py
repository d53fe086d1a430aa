"""Pruning and quantization of ReLU networks at four scalings of one function: as given and in three canonical forms.

    python benchmarks/balanced_gauge.py [--out runs/balanced_gauge] [--networks 20]

ReLU networks without normalization (an MLP 64-64-32-10 and a CNN of two convolutions and a linear layer) are trained
on scikit-learn's digits, then rescaled by random positive elements of the gauge with scales in [1/c, c]; others are
trained with layers that start 8 times too large and 8 times too small. Each is pruned by global weight magnitude and
its weights are rounded to 8 and 4 bits (symmetric, one step per tensor or per row, no calibration), as it is and
balanced, with unit norms and at its smallest L1, all of which compute the same function (asserted). Accuracy on the
test images, mean over networks with 95 % bootstrap intervals over training runs; the paired difference to the network
as given stands in the files. The L1 cut of a pruned network stands beside the orbit L1 cut, both networks taken at the
smallest L1 norm of their orbit. Writes results.json, results.csv, rows.csv and accuracy.svg. Two minutes on one thread.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _timing import environment, print_table
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

import weightspace as ws
from weightspace.tasks import mean_interval, orbit_minimal_l1, resample

Params = dict[str, Tensor]
SCALES = (1, 4, 16, 64)
SPARSITY = (0.5, 0.7, 0.8, 0.9, 0.95)
BITS = (8, 4)
FORMS = {"as given": None, "balanced": "balanced", "unit norm": "norm", "smallest L1": "l1"}
UNEVEN = (8.0, 1.0, 1 / 8)
EPOCHS = 15


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 16, 10),
    )


NETWORKS: dict[str, Callable[[], nn.Sequential]] = {"MLP": mlp, "CNN": cnn}


def trained(make: Callable[[], nn.Sequential], images: ws.zoo.Images, seed: int, gains: tuple[float, ...]) -> nn.Module:
    """A network after 15 epochs of Adam; ``gains`` multiply the weights of its layers at the start."""
    torch.manual_seed(seed)
    net = make()
    layers = [part for part in net if isinstance(part, nn.Linear | nn.Conv2d)]
    for layer, gain in zip(layers, gains, strict=True):
        layer.weight.data *= gain
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(EPOCHS):
        for index in torch.randperm(len(images.train_x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images.train_x[index]), images.train_y[index]).backward()
            optimizer.step()
    return net


def accuracy(net: nn.Module, params: Params, images: ws.zoo.Images) -> float:
    with torch.no_grad():
        outputs = torch.func.functional_call(net, params, (images.test_x,))
    return float((outputs.argmax(-1) == images.test_y).float().mean())


def pruned(params: Params, sparsity: float) -> Params:
    """Without the weights of smallest magnitude in the whole network; biases stay."""
    weights = torch.cat([value.abs().flatten() for value in params.values() if value.dim() > 1])
    threshold = weights.sort().values[round(sparsity * len(weights)) - 1]
    return {name: value.where((value.abs() > threshold) | (value.dim() < 2), 0.0) for name, value in params.items()}


def quantized(params: Params, bits: int, *, by_row: bool) -> Params:
    """Weights rounded to ``2^bits - 1`` even steps around 0, one size of step per tensor or row; biases stay."""
    top = 2 ** (bits - 1) - 1
    result = dict(params)
    for name, value in params.items():
        if value.dim() > 1:
            away = tuple(range(int(by_row), value.dim()))
            step = value.abs().amax(away, keepdim=True).clamp_min(torch.finfo(value.dtype).tiny) / top
            result[name] = (value / step).round() * step
    return result


def rows_of(net: nn.Module, params: Params, spec: ws.SymmetrySpec, images: ws.zoo.Images) -> list[dict]:
    """One row for every form and way to make the network smaller."""
    inputs, rows, cuts = images.test_x, [], []
    for form, scale in FORMS.items():
        own = params if scale is None else ws.gauge.canonicalize(params, spec, scale=scale, permute=False)[0]
        gap = ws.same_function(net, own, inputs)
        assert gap < 1e-4, f"the function moved by {gap:.1e} in the form {form!r}"
        rows.append({"form": form, "change": "none", "accuracy": accuracy(net, own, images)})
        for bits, by_row in ((bits, by_row) for by_row in (False, True) for bits in BITS):
            small = quantized(own, bits, by_row=by_row)
            change = f"int{bits}{' by row' if by_row else ''}"
            rows.append({"form": form, "change": change, "accuracy": accuracy(net, small, images)})
        for sparsity in SPARSITY:
            small = pruned(own, sparsity)
            size = [sum(float(value.abs().sum()) for value in network.values()) for network in (own, small)]
            row = {"form": form, "change": f"{sparsity:.0%}", "accuracy": accuracy(net, small, images)}
            rows.append({**row, "l1_cut": 1 - size[1] / size[0]})
            cuts.append(small)
    sums = orbit_minimal_l1(ws.gauge.stack([params, *cuts]), spec, tolerance=1e-6).tolist()
    for row, total in zip((row for row in rows if "l1_cut" in row), sums[1:], strict=True):
        row["orbit_l1_cut"] = 1 - total / sums[0]
    return rows


def measure(networks: int) -> list[dict]:
    """All rows, for every architecture, seed and scaling."""
    images = ws.zoo.load_images("digits")
    jobs = [(name, seed) for name in NETWORKS for seed in range(networks)]
    rows = []
    for name, seed in track(jobs, "networks", console=Console(stderr=True)):
        even = trained(NETWORKS[name], images, seed, (1.0, 1.0, 1.0))
        uneven = trained(NETWORKS[name], images, seed, UNEVEN)
        spec = ws.derive(even, images.test_x)
        places = [(f"c = {c}", even, ws.sample(spec, seed, max_scale=c)) for c in SCALES]
        for scaling, net, g in [*places, ("uneven layers", uneven, ws.identity(spec))]:
            still = {space: torch.arange(len(perm)) for space, perm in g.perm.items()}
            given = dict(net.state_dict())
            moved = ws.act(ws.Element(still, g.scale), given, spec)
            assert ws.same_function(net, moved, images.test_x) < 1e-4
            for row in rows_of(net, moved, spec, images):
                rows.append({"network": name, "scaling": scaling, "seed": seed, **row})
    return rows


def summary(rows: list[dict]) -> list[dict]:
    """Means with intervals over seeds, and the paired difference to the network as given."""
    keys = ("network", "scaling", "form", "change")
    groups: dict[tuple, dict[int, dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), {})[row["seed"]] = row
    found = []
    for key, cells in groups.items():
        weights = resample(np.array(sorted(cells)))
        given = groups[(*key[:2], "as given", key[3])]
        here = np.array([cells[seed]["accuracy"] for seed in sorted(cells)])
        there = np.array([given[seed]["accuracy"] for seed in sorted(cells)])
        cell = {**dict(zip(keys, key, strict=True)), "networks": len(cells)}
        for name, values in (("accuracy", here), ("gain", here - there)):
            estimate = mean_interval(values, weights)
            cell |= {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        for name in ("l1_cut", "orbit_l1_cut"):
            values = [row[name] for row in cells.values() if name in row]
            cell[name] = float(np.mean(values)) if values else None
        found.append(cell)
    return found


def show(cells: list[dict]) -> None:
    """A table per architecture: accuracy in percent, half the interval, and both L1 cuts at 80 % sparsity."""
    changes = list(dict.fromkeys(cell["change"] for cell in cells))
    for name in NETWORKS:
        table = {(c["scaling"], c["form"], c["change"]): c for c in cells if c["network"] == name}
        lines = []
        for scaling, form in dict.fromkeys((place, form) for place, form, _ in table):
            here = [table[scaling, form, change] for change in changes]
            cut = table[scaling, form, "80%"]
            texts = [f"{100 * c['accuracy']:.1f}±{50 * (c['accuracy_high'] - c['accuracy_low']):.1f}" for c in here]
            lines.append([scaling, form, *texts, f"{cut['l1_cut']:.0%}", f"{cut['orbit_l1_cut']:.0%}"])
        print(f"\n{name}: test accuracy in % after")
        print_table(["scaling", "form", *changes, "L1 cut at 80%", "orbit L1 cut"], lines)


def plot(cells: list[dict], path: Path) -> None:
    """Accuracy against sparsity, a panel for each architecture and scaling."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    scalings = list(dict.fromkeys(cell["scaling"] for cell in cells))
    size = (2.6 * len(scalings), 2.5 * len(NETWORKS))
    figure, panels = plt.subplots(len(NETWORKS), len(scalings), figsize=size, sharex=True, sharey=True, squeeze=False)
    for line, name in zip(panels, NETWORKS, strict=True):
        for panel, scaling in zip(line, scalings, strict=True):
            for form in FORMS:
                here = [c for c in cells if (c["network"], c["scaling"], c["form"]) == (name, scaling, form)]
                here = [cell for cell in here if "%" in cell["change"]]
                x = [float(cell["change"][:-1]) for cell in here]
                panel.plot(x, [100 * cell["accuracy"] for cell in here], marker=".", label=form)
                low, high = ([100 * cell[f"accuracy_{end}"] for cell in here] for end in ("low", "high"))
                panel.fill_between(x, low, high, alpha=0.2)
            panel.set_title(f"{name}, {scaling}", fontsize=9)
    for panel in panels[-1]:
        panel.set_xlabel("weights removed, %")
    for line in panels:
        line[0].set_ylabel("accuracy, %")
    panels[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def write(path: Path, text: str) -> None:
    """The file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)


def as_csv(rows: list[dict]) -> str:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    return sink.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description="pruning and quantization in canonical scales")
    parser.add_argument("--out", type=Path, default=Path("runs/balanced_gauge"), metavar="DIR")
    parser.add_argument("--networks", type=int, default=20, help="training runs for each architecture")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(args.networks)
    cells = summary(rows)
    args.out.mkdir(parents=True, exist_ok=True)
    write(args.out / "rows.csv", as_csv(rows))
    write(args.out / "results.csv", as_csv(cells))
    write(args.out / "results.json", json.dumps({"environment": environment(), "cells": cells}, indent=1) + "\n")
    plot(cells, args.out / "accuracy.svg")
    show(cells)
    print(f"\nwritten to {args.out}")


if __name__ == "__main__":
    main()
