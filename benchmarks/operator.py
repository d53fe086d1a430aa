"""Operator training steps: the published formulation on edge lists against ours, in time, memory and numbers.

    python benchmarks/operator.py [--json FILE] [--threads 2] [--rounds 7] [--only mlp cnn inr memory numbers products]

A step is a forward and a backward pass of the bidirectional operator (|x|, LayerNorm, 128 channels) on 4 MLPs
64-48-32-16-10 (8 rounds), 32 tanh CNNs 1-16-16-16-10 (8 rounds) or 16 INRs 2-32-32-1 (10 rounds), all with the same
weights. Time: medians of interleaved rounds. Memory: peak of a fresh process above its start. Numbers: outputs and
gradients in float64. Products: the two routes of a matrix product. Freed memory is kept by the process
(``MALLOC_MMAP_MAX_=0``), which helps the edge lists most; set that variable yourself for another choice. Takes about
five minutes; exits with 1 if a goal is missed.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import os
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from _timing import environment, high_water, interleaved, keep_freed_memory, median_ratio, print_table, write_json
from published_twin import Twin

import weightspace as ws
from weightspace.nn import PRESETS, checkpointed, paper
from weightspace.nn._linear import matmul
from weightspace.testing import random_params

EDIT = PRESETS["mnist_edit -B"]
CASES = {
    "mlp": (replace(EDIT, rounds=8, layout=(64, 48, 32, 16, 10)), 4),
    "cnn": (replace(EDIT, rounds=8, layout=(1, 16, 16, 16, 10), kernel=3), 32),
    "inr": (replace(EDIT, rounds=10, layout=(2, 32, 32, 1)), 16),
}
GOALS = {"mlp": 4.0, "cnn": 2.5, "inr": 3.0}
ROUTES = ("edge lists", "ours", "ours, checkpointed")


def build(case: str, route: str, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """The operator of a case with the weights of seed 0, the same for all routes."""
    torch.manual_seed(0)
    model = paper(CASES[case][0])
    if route == "edge lists":
        sys.path.append(str(Path(__file__).parents[1] / "tests"))
        from golden import copy_parts

        model = copy_parts(model, Twin(model.preset, model.spec))
    elif route == "ours, checkpointed":
        model = checkpointed(model)
    return model.to(dtype).eval()


def stepper(case: str, route: str, num: int, dtype: torch.dtype = torch.float32) -> Callable[[], dict]:
    """A training step on ``num`` networks; it returns outputs and leaves gradients."""
    model = build(case, route, dtype)
    params = random_params(ws.nn.paper(CASES[case][0]).spec, num, dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    weights = {name: torch.randn(value.shape, generator=generator, dtype=dtype) for name, value in params.items()}

    def step() -> dict[str, torch.Tensor]:
        model.zero_grad()
        changes = model.delta(params) if hasattr(model, "delta") else model(params)
        sum((changes[name] * weights[name]).sum() for name in changes).backward()
        return {name: change.detach() for name, change in changes.items()}

    step.model = model  # type: ignore[attr-defined]
    return step


def speed(case: str, rounds: int) -> dict[str, object]:
    """Seconds of a training step by route, and ratios."""
    times = interleaved({route: stepper(case, route, CASES[case][1]) for route in ROUTES}, rounds, seconds=150.0)
    result: dict[str, object] = {"goal": GOALS[case], "networks": CASES[case][1], "rounds": len(times[ROUTES[0]])}
    for route in ROUTES:
        result[route] = {
            "seconds": statistics.median(times[route]),
            "fastest": min(times[route]),
            "ratio": median_ratio(times[ROUTES[0]], times[route]),
        }
    return result


def peak(case: str, route: str, num: int) -> float:
    """Peak memory of one step above the start, in GB, of a fresh process."""
    command = [sys.executable, __file__, "--peak", case, route, str(num)]
    # As much memory as a user sees: the allocator's defaults.
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"MALLOC_MMAP_MAX_": "65536"}
    )
    return float(done.stdout)


def report_peak(case: str, route: str, num: int) -> None:
    """What :func:`peak` runs: prints GB."""
    step = stepper(case, route, num)
    start = high_water()
    step()
    print((high_water() - start) / 1e9)


def numbers(case: str) -> dict[str, float]:
    """Largest relative difference to the edge lists of outputs and of any part's gradient, float64, one network."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from golden import gradient_errors

    twin, ours = (stepper(case, route, 1, torch.float64) for route in ROUTES[:2])
    want, have = twin(), ours()
    outputs = max(float((have[name] - want[name]).abs().max() / want[name].abs().max()) for name in want)
    return {"outputs": outputs, "gradients": max(gradient_errors(ours.model, twin.model).values())}  # type: ignore[attr-defined]


def products() -> list[dict[str, float]]:
    """GFLOP/s of a product with a 128 x 128 matrix, forward and backward: ``F.linear`` and what ours takes."""

    def both(route: Callable[..., torch.Tensor], x: torch.Tensor, weight: torch.Tensor, grad: torch.Tensor) -> None:
        torch.autograd.grad(route(x, weight), (x, weight), grad)

    result = []
    for rows in (1024, 4096, 16384):
        tensors = (
            torch.randn(rows, 128, requires_grad=True),
            torch.randn(128, 128, requires_grad=True),
            torch.randn(rows, 128),
        )
        times = interleaved(
            {"F.linear": partial(both, F.linear, *tensors), "ours": partial(both, matmul, *tensors)}, 25
        )
        result.append({"rows": rows} | {k: 6e-9 * rows * 128**2 / statistics.median(v) for k, v in times.items()})
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description="operator training steps against edge lists")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    choices = (*CASES, "memory", "numbers", "products")
    parser.add_argument("--only", nargs="+", choices=choices, default=choices)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak:
        report_peak(args.peak[0], args.peak[1], int(args.peak[2]))
        return 0
    keep_freed_memory()
    result: dict[str, object] = {"environment": environment()}
    print(environment(), flush=True)
    missed = []
    for case in (case for case in CASES if case in args.only):
        found = result[case] = speed(case, args.rounds)
        rows = [[r, *(f"{found[r][key]:.2f}" for key in ("seconds", "fastest", "ratio"))] for r in ROUTES]
        print_table([f"{case} x {CASES[case][1]}", "seconds", "fastest", "ratio"], rows)
        if found["ours"]["ratio"] < GOALS[case] or (case == "mlp" and found[ROUTES[2]]["ratio"] < 3):
            missed.append(case)
    if "memory" in args.only:
        found = {case: {r: peak(case, r, CASES[case][1]) for r in ROUTES} for case in CASES}
        found["mlp x 32"] = {ROUTES[2]: peak("mlp", ROUTES[2], 32)}
        print_table(
            ["peak GB", *ROUTES], [[k, *(f"{v[r]:.2f}" if r in v else "-" for r in ROUTES)] for k, v in found.items()]
        )
        result["memory"] = found
        base, plain, again = (found["mlp"][route] for route in ROUTES)
        if plain > base / 2 or again > base / 8 or found["mlp x 32"][ROUTES[2]] > 4:
            missed.append("memory")
    if "numbers" in args.only:
        result["numbers"] = {case: numbers(case) for case in CASES}
        print_table(
            ["float64", "outputs", "gradients"],
            [[k, *(f"{x:.1e}" for x in v.values())] for k, v in result["numbers"].items()],
        )
        if max(max(v.values()) for v in result["numbers"].values()) > 1e-10:
            missed.append("numbers")
    if "products" in args.only:
        result["products"] = products()
        print_table(["rows", "F.linear", "ours"], [[f"{x:.0f}" for x in row.values()] for row in result["products"]])
    write_json(args.json, result)
    print("missed: " + ", ".join(missed) if missed else "all goals met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
