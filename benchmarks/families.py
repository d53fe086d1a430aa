"""Training steps of families of metanetworks: time and memory at equal width and rounds, and growth with edges.

    python benchmarks/families.py [--json FILE] [--plot FILE] [--threads 2] [--rounds 5]

A step is a forward and a backward pass in float32. Operators on 4 MLPs 64-48-32-16-10 and 32 tanh CNNs 1-16-16-16-10,
128 channels, 8 rounds, both directions: the published formulation on edge lists, the same as we compute it, our scale
family, the matrix family. Functionals on 16 INRs 2-32-32-1: `paper("mnist_cls")` at its own size (128 channels, 4
rounds), the matrix family at the same, at 64 channels, as `benchmarks/learning.py` trains it, and at 48 and 32. Medians
of interleaved rounds; memory is the peak of a fresh process above its start. Growth: one MLP with three equal layers,
10^3 to 10^6 weights, matrix operator and functional, 32 channels, 4 rounds; the slope of log seconds against log edges
over the upper half, 1 being linear. Exits with 1 if a goal fails.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import os
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _timing import environment, high_water, interleaved, keep_freed_memory, median_ratio, print_table, write_json
from published_twin import Twin
from torch import nn

from weightspace.files.atomic import write_text
from weightspace.nn import PRESETS, Architecture, MatrixFamily, ScaleFamily, paper
from weightspace.plots import METHODS, drawn, empty
from weightspace.spec import SymmetrySpec
from weightspace.testing import random_params

EDIT = PRESETS["mnist_edit -B"]
CASES = {
    "MLP operator": (replace(EDIT, rounds=8, layout=(64, 48, 32, 16, 10)), 4),
    "CNN operator": (replace(EDIT, rounds=8, layout=(1, 16, 16, 16, 10), kernel=3), 32),
    "INR functional": (PRESETS["mnist_cls"], 16),
    "INR functional, 64": (PRESETS["mnist_cls"], 16),
    "INR functional, 48": (PRESETS["mnist_cls"], 16),
    "INR functional, 32": (PRESETS["mnist_cls"], 16),
}
WIDTH = {f"INR functional, {width}": width for width in (64, 48, 32)}
"""Channels of our families, where they are not the published ones."""
GOALS = {"MLP operator": 25.0, "CNN operator": 10.0, "INR functional": 0.0, "INR functional, 64": 15.0}
"""Of the other widths the curve is shown."""
MEMORY = 10.0
ROUTES = ("edge lists", "published", "scale", "matrix")
WIDTHS = (22, 39, 71, 126, 224, 398, 707)
LINEAR = 1.15


def build(case: str, route: str) -> nn.Module:
    """A model of a case, of its width and rounds."""
    torch.manual_seed(0)
    preset, _ = CASES[case]
    model = paper(preset)
    if route == "published":
        return model
    if route == "edge lists":
        return Twin(preset, model.spec)
    family = MatrixFamily if route == "matrix" else ScaleFamily
    sized = family(width=WIDTH.get(case, preset.width), rounds=preset.rounds, direction=preset.direction)
    architecture = Architecture(model.spec)
    return sized.operator(architecture) if preset.readout == "operator" else sized.functional(architecture, preset.out)


def stepper(model: nn.Module, spec: SymmetrySpec, num: int) -> Callable[[], None]:
    """A training step of a model on ``num`` networks."""
    params = random_params(spec, num)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        found: Any = model(params)
        values = found.values() if isinstance(found, dict) else [found]
        sum((value.square().sum() for value in values), torch.zeros(())).backward()

    return step


def of_case(case: str, route: str) -> Callable[[], None]:
    """The step of a case by one route."""
    preset, num = CASES[case]
    return stepper(build(case, route), paper(preset).spec, num)


def speed(case: str, rounds: int) -> dict[str, Any]:
    """Seconds and memory of a step by route, and how many times the first the matrix family is better."""
    times = interleaved({route: of_case(case, route) for route in ROUTES}, rounds, seconds=240.0)
    base = "published" if case.startswith("INR") else "edge lists"
    memory = {route: peak(case, route) for route in (base, "matrix")}
    return {
        "seconds": {route: statistics.median(found) for route, found in times.items()},
        "memory_gb": memory,
        "against": base,
        "times_faster": median_ratio(times[base], times["matrix"]),
        "times_smaller": memory[base] / memory["matrix"],
        "goal": GOALS.get(case, 0.0),
    }


def peak(case: str, route: str) -> float:
    """Peak memory of one step above the start, in GB, of a fresh process with the allocator's defaults."""
    done = subprocess.run(
        [sys.executable, __file__, "--peak", case, route],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"MALLOC_MMAP_MAX_": "65536"},
    )
    return float(done.stdout)


def growth(rounds: int) -> dict[str, Any]:
    """Seconds of matrix models on one MLP against its edges, and the slopes."""
    edges = [3 * width**2 for width in WIDTHS]
    found: dict[str, Any] = {"edges": edges}
    for kind in ("operator", "functional"):
        steps: dict[str, Callable[[], None]] = {}
        for width in WIDTHS:
            torch.manual_seed(0)
            spec = paper(replace(EDIT, layout=(width,) * 4)).spec
            family, architecture = MatrixFamily(), Architecture(spec)
            model = family.operator(architecture) if kind == "operator" else family.functional(architecture, 10)
            steps[str(width)] = stepper(model, spec, 1)
        seconds = [statistics.median(taken) for taken in interleaved(steps, rounds).values()]
        half = len(edges) // 2
        slope = float(np.polyfit(np.log(edges[half:]), np.log(seconds[half:]), 1)[0])
        found[kind] = {"seconds": seconds, "slope": slope}
    return found


def figure(found: dict[str, Any]) -> Any:
    """Seconds against edges, both axes logarithmic."""
    drawing, (panel,) = empty(4.6, 3.2, 1)
    for color, kind in zip(METHODS[1:], ("operator", "functional"), strict=False):
        label = f"{kind}, slope {found[kind]['slope']:.2f}"
        panel.loglog(found["edges"], found[kind]["seconds"], "o-", color=color, label=label)
    panel.set_xlabel("edges of the network read")
    panel.set_title("seconds a training step", fontsize=10, loc="left")
    panel.legend()
    return drawing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", nargs=2, metavar=("CASE", "ROUTE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        step = of_case(*args.peak)
        start = high_water()
        step()
        print((high_water() - start) / 1e9)
        return 0
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    cases = {case: speed(case, args.rounds) for case in CASES}
    rows = [
        (case, *(f"{1e3 * one['seconds'][route]:.0f} ms" for route in ROUTES), one["against"],
         f"{one['times_faster']:.1f}", f"{one['goal']:.0f}", f"{one['times_smaller']:.1f}")
        for case, one in cases.items()
    ]  # fmt: skip
    print_table(("step", *ROUTES, "against", "matrix is faster", "goal", "smaller"), rows)
    sizes = growth(args.rounds)
    for kind in ("operator", "functional"):
        print(f"growth of the {kind} with edges: slope {sizes[kind]['slope']:.2f}")
    if args.plot:
        write_text(args.plot, drawn("families", lambda: figure(sizes)) or "")
    if args.json:
        write_json(args.json, {"cases": cases, "growth": sizes, "environment": environment()})
    fast = all(one["times_faster"] >= one["goal"] for one in cases.values())
    small = all(one["times_smaller"] >= MEMORY for case, one in cases.items() if "operator" in case)
    linear = all(sizes[kind]["slope"] <= LINEAR for kind in ("operator", "functional"))
    return 0 if fast and small and linear else 1


if __name__ == "__main__":
    sys.exit(main())
