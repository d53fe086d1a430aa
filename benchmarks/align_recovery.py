"""How often a planted element is found again: alignment against plain coordinate descent from the identity.

    python benchmarks/align_recovery.py [--out runs/align_recovery] [--seeds 100]

A network with standard normal weights (fan-out as large as fan-in: hard for a start from the identity) is moved by a
random element, scales log-uniform in [1/100, 100], after noise of 0 to 0.3 standard deviations on every weight. Found
means: every neuron in its place with its sign. Plain descent is weight matching as in the literature: order and signs,
from the identity, in the gauge the networks come in; "from the identity" is our descent in the balanced gauge without
our start. Writes recovery.csv and recovery.svg. The width-512 MLP uses a fifth of the seeds where there is noise.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import csv
import io
import itertools
from pathlib import Path

import torch
from _timing import environment, print_table
from rich.progress import track
from torch import Tensor, nn

import weightspace as ws
from weightspace.alignment import align, linear_assignment
from weightspace.gauge import Element, identity, stack
from weightspace.gauge.canonical import balance
from weightspace.gauge.match import descend, problem

NOISE = (0.0, 0.01, 0.03, 0.1, 0.3)
AT_ONCE = 25


class Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(30 * x)


class Residual(nn.Module):
    """Two blocks of width 50 on a stream of 30: 10 of 100 found by a public matcher."""

    def __init__(self, activation: type[nn.Module]) -> None:
        super().__init__()
        self.into, self.out, self.act = nn.Linear(10, 30), nn.Linear(30, 5), activation()
        self.up = nn.ModuleList([nn.Linear(30, 50) for _ in range(2)])
        self.down = nn.ModuleList([nn.Linear(50, 30) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.into(x)
        for up, down in zip(self.up, self.down, strict=True):
            x = x + down(self.act(up(x)))
        return self.out(x)


def mlp(widths: tuple[int, ...], *activations: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for k, (before, after) in enumerate(itertools.pairwise(widths)):
        layers += [nn.Linear(before, after), *([activations[k % len(activations)]()] if k < len(widths) - 2 else [])]
    return nn.Sequential(*layers)


def conv_bn() -> nn.Sequential:
    layers = [nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


NETWORKS = {
    "SIREN 2-32-32-1": (mlp((2, 32, 32, 1), Sine), torch.zeros(2, 2)),
    "ReLU 2-32-32-1": (mlp((2, 32, 32, 1), nn.ReLU), torch.zeros(2, 2)),
    "MLP 64-48-32-16-10, ReLU tanh GELU": (mlp((64, 48, 32, 16, 10), nn.ReLU, nn.Tanh, nn.GELU), torch.zeros(2, 64)),
    "residual, GELU": (Residual(nn.GELU), torch.zeros(2, 10)),
    "residual, ReLU": (Residual(nn.ReLU), torch.zeros(2, 10)),
    "residual, tanh": (Residual(nn.Tanh), torch.zeros(2, 10)),
    "conv + BN": (conv_bn(), torch.zeros(2, 3, 8, 8)),
    "MLP 64-512-512-512-10, ReLU": (mlp((64, 512, 512, 512, 10), nn.ReLU), torch.zeros(2, 64)),
}


def draw(spec: ws.SymmetrySpec, like: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name in spec.axes:
        value = like[name]
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        out[name] = value if not value.is_floating_point() else noise.abs() + 0.5 if name.endswith("_var") else noise
    return out


def noisy(params: dict[str, Tensor], size: float, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(10_000 + seed)
    return {
        # Variances stay positive: a factor instead of a sum.
        name: value * (size * noise).exp() if name.endswith("_var") else value + size * noise
        for name, value in params.items()
        for noise in [torch.randn(value.shape, generator=generator, dtype=torch.float64)]
        if value.is_floating_point()
    } | {name: value for name, value in params.items() if not value.is_floating_point()}


def found(element: Element, planted: Element, spec: ws.SymmetrySpec) -> Tensor:
    """By network, whether every neuron is back in its place with its sign."""
    back = ws.inverse(planted)
    right = torch.ones(len(next(iter(back.perm.values()))), dtype=torch.bool)
    for space in spec.free:
        right &= (element.perm[space.name] == back.perm[space.name]).all(-1)
        if space.scale in ("sign", "nonzero"):
            right &= (element.scale[space.name].sign() == back.scale[space.name].sign()).all(-1)
    return right


def recover(spec: ws.SymmetrySpec, like: dict[str, Tensor], size: float, seeds: range) -> dict[str, int]:
    singles = [draw(spec, like, seed) for seed in seeds]
    a = stack(singles)
    elements = [ws.sample(spec, seed, max_scale=100.0) for seed in seeds]
    planted = Element.stack(elements)
    b = ws.act(planted, stack([noisy(p, size, s) for p, s in zip(singles, seeds, strict=True)]), spec)
    counts = {"ours": int(found(align(a, b, spec).element, planted, spec).sum())}
    (left, to_left), (right, to_right) = balance(a, spec), balance(b, spec)
    task = problem(left, right, spec)
    element, _ = descend(task, identity(task.spec).expand(task.num))
    element = ws.compose(ws.inverse(to_left), ws.compose(element, to_right))
    counts["from the identity"] = int(found(element, planted, spec).sum())
    counts["plain descent"] = int(found(linear_assignment(a, b, spec), planted, spec).sum())
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/align_recovery"))
    parser.add_argument("--seeds", type=int, default=100)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    tasks = [(name, size) for name in NETWORKS for size in NOISE]
    for name, size in track(tasks, "networks and noise"):
        net, example = NETWORKS[name]
        spec = ws.derive(net, example)
        like = {key: value.double() if value.is_floating_point() else value for key, value in net.state_dict().items()}
        large = "512" in name
        seeds = max(1, args.seeds // 5) if large and size else args.seeds
        at_once = 2 if large else AT_ONCE
        counts: dict[str, int] = {}
        for first in range(0, seeds, at_once):
            some = recover(spec, like, size, range(first, min(seeds, first + at_once)))
            counts = {method: counts.get(method, 0) + count for method, count in some.items()}
        rows += [(name, size, method, count, seeds) for method, count in counts.items()]
        write(args.out, rows)
    table: dict[tuple[str, str], dict[float, str]] = {}
    for name, size, method, count, seeds in rows:
        table.setdefault((name, method), {})[size] = f"{count}/{seeds}"
    body = [(name, method, *(cells[size] for size in NOISE)) for (name, method), cells in table.items()]
    print_table(("network", "method", *(f"noise {size:g}" for size in NOISE)), body)
    print(environment())


def write(folder: Path, rows: list[tuple[str, float, str, int, int]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("network", "noise", "method", "found", "seeds"))
    writer.writerows(rows)
    (folder / "recovery.csv").write_text(buffer.getvalue())
    figure, axes = plt.subplots(2, 4, figsize=(13, 5.5), sharex=True, sharey=True)
    for axis, name in zip(axes.flat, NETWORKS, strict=True):
        for method, mark in (("ours", "o-"), ("from the identity", "s--"), ("plain descent", "x:")):
            points = [(size, count / seeds) for n, size, m, count, seeds in rows if (n, m) == (name, method)]
            axis.plot([p[0] for p in points], [p[1] for p in points], mark, label=method)
        axis.set_title(name, fontsize=8)
        axis.set_xscale("symlog", linthresh=0.01)
        axis.set_ylim(-0.05, 1.05)
    axes[0, 0].legend(fontsize=7)
    figure.supxlabel("noise, standard deviations of the weights")
    figure.supylabel("planted element found")
    figure.tight_layout()
    figure.savefig(folder / "recovery.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
