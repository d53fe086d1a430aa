"""Cost of a metanetwork against the size of what it reads: edges of one network, and networks in a batch.

    python benchmarks/scaling.py [--json FILE] [--plot FILE] [--threads 2] [--rounds 5]

A training step (forward and backward, rounds computed again in the backward pass) of the published bidirectional
operator and of our default operator, 32 channels, 4 rounds. Edges: one MLP with three equal layers, 10^3 to 10^6
weights. Networks: 1 to 256 MLPs of 2,048 weights. Medians of interleaved rounds; seconds, and peak memory of a fresh
process. Freed memory stays with the process (``MALLOC_MMAP_MAX_=0``). Prints the slope of log seconds against log size
over the upper half, 1 being linear; exits with 1 if one is above 1.15. Takes about three minutes.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _timing import environment, high_water, interleaved, keep_freed_memory, print_table, write_json

from weightspace.nn import PRESETS, EquivariantOperator, checkpointed, paper
from weightspace.spec import SymmetrySpec
from weightspace.testing import random_params

WIDTHS = (22, 39, 71, 126, 224, 398, 707)
NUMBERS = (1, 4, 16, 64, 256)
SMALL = 32
KINDS = ("published", "default")
PRESET = replace(PRESETS["mnist_edit -B"], width=32, rounds=4)


def step(kind: str, width: int, num: int) -> Callable[[], None]:
    """A training step on ``num`` networks of three layers of ``width``."""
    torch.manual_seed(0)
    published = paper(PRESET, layout=(width, width, width))
    spec: SymmetrySpec = published.spec
    model = checkpointed(published if kind == "published" else EquivariantOperator(spec, 32, rounds=4)).eval()
    params = random_params(spec, num)

    def run() -> None:
        model.zero_grad()
        sum(change.square().sum() for change in model.delta(params).values()).backward()

    return run


def peak(kind: str, width: int, num: int) -> float:
    """Peak memory of a step above the start in GB, in a fresh process."""
    command = [sys.executable, __file__, "--peak", kind, str(width), str(num)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def report_peak(kind: str, width: int, num: int) -> None:
    """What :func:`peak` runs: prints GB."""
    run = step(kind, width, num)
    start = high_water()
    run()
    print((high_water() - start) / 1e9)


def slope(sizes: list[int], costs: list[float]) -> float:
    """Of log cost against log size, over the upper half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(costs[half:]), 1)[0])


def curve(axis: str, points: list[tuple[int, int, int]], rounds: int) -> dict[str, object]:
    """Seconds and memory by kind over ``(size, width, number)``."""
    sizes = [size for size, _, _ in points]
    result: dict[str, object] = {"axis": axis, "sizes": sizes}
    times = [interleaved({kind: step(kind, width, num) for kind in KINDS}, rounds, 20.0) for _, width, num in points]
    for kind in KINDS:
        seconds = [statistics.median(one[kind]) for one in times]
        memory = [peak(kind, width, num) for _, width, num in points]
        result[kind] = {"seconds": seconds, "peak_gb": memory, "slope": slope(sizes, seconds)}
    return result


def plot(curves: list[dict], path: Path) -> None:
    """Seconds and memory against size, log-log, with a line of slope 1."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(2, len(curves), figsize=(4.2 * len(curves), 5.6), sharex="col", squeeze=False)
    for column, one in zip(panels.T, curves, strict=True):
        for panel, key, unit in zip(column, ("seconds", "peak_gb"), ("seconds a step", "peak memory, GB"), strict=True):
            for kind, mark in zip(KINDS, "os", strict=True):
                panel.loglog(one["sizes"], one[kind][key], mark + "-", label=f"{kind} operator")
            last = one[KINDS[0]][key][-1]
            panel.loglog(one["sizes"], [last * size / one["sizes"][-1] for size in one["sizes"]], "k:", label="linear")
            panel.set_ylabel(unit)
        column[1].set_xlabel(one["axis"])
    panels[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)


def main() -> int:
    parser = argparse.ArgumentParser(description="cost against the number of edges and networks")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak:
        report_peak(args.peak[0], int(args.peak[1]), int(args.peak[2]))
        return 0
    keep_freed_memory()
    print(environment(), flush=True)
    curves = [
        curve("edges of one network", [(2 * width**2, width, 1) for width in WIDTHS], args.rounds),
        curve(f"networks of {2 * SMALL**2} edges", [(num, SMALL, num) for num in NUMBERS], args.rounds),
    ]
    for one in curves:
        header = [str(one["axis"]), *(f"{kind} {key}" for kind in KINDS for key in ("s", "GB"))]
        rows = [
            [f"{size}", *(f"{one[kind][key][i]:.3g}" for kind in KINDS for key in ("seconds", "peak_gb"))]
            for i, size in enumerate(one["sizes"])
        ]
        print_table(header, [*rows, ["slope", *(x for kind in KINDS for x in (f"{one[kind]['slope']:.2f}", ""))]])
    write_json(args.json, {"environment": environment(), "curves": curves})
    if args.plot is not None:
        plot(curves, args.plot)
    return 0 if all(one[kind]["slope"] <= 1.15 for one in curves for kind in KINDS) else 1


if __name__ == "__main__":
    sys.exit(main())
