"""Alignment against plain loops, 1,000 pairs of INRs side by side, and cost against width.

    python benchmarks/align.py [--out runs/align] [--rounds 5]

Two plain loops in float64. *From the identity*: coordinate descent as published, the hidden layers in turn, an
assignment on the products (on their magnitudes for signs), until the squared distance gains less than 1e-9 of itself.
*From a sweep*: the same after our forward sweep, written plainly, so that it ends as near as we do. Pairs are MLPs
784-512-512-512-10 drawn independently; the squared distance reached is printed beside the time, since a faster end that
is farther would be worth nothing. Two threads, interleaved, medians. Growth: pairs of MLPs with three hidden layers of
width 32 to 1024, one alignment each, beside an encoder as in arXiv:2511.12601, which claims that assignment grows
faster: a forward pass of the default functional with width 64. Writes align.json and growth.svg.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _timing import environment, interleaved, median_ratio, print_table, write_json
from scipy.optimize import linear_sum_assignment
from torch import Tensor

import weightspace as ws
from weightspace.alignment import align
from weightspace.spec import without_scales

Params = dict[str, Tensor]
WIDTHS = (32, 64, 128, 256, 512, 1024)


def chain(widths: tuple[int, ...], group: str) -> ws.SymmetrySpec:
    names = ["in", *(f"h{k}" for k in range(len(widths) - 2)), "out"]
    ends = {"in", "out"}
    lines = [f"{n}[{w}] {'fixed' if n in ends else group}" for n, w in zip(names, widths, strict=True)]
    for k in range(len(widths) - 1):
        lines += [f"{2 * k}.weight {names[k + 1]} {names[k]}~", f"{2 * k}.bias {names[k + 1]}"]
    return ws.parse("\n".join([*lines[: len(names)], "", *lines[len(names) :]]))


def draw(spec: ws.SymmetrySpec, seed: int, num: int | None = None) -> Params:
    """Weights of the usual size at initialization: variance 1 / fan-in."""
    generator = torch.Generator().manual_seed(seed)
    lead = () if num is None else (num,)
    return {
        name: torch.randn(*lead, *spec.shape(name), generator=generator) / (spec.shape(name)[-1] ** 0.5)
        for name in spec.axes
    }


def plain(a: Params, b: Params, signs: bool, sweep: bool, dtype: torch.dtype = torch.float64) -> float:
    """Squared distance after plain coordinate descent, from the identity or from a forward sweep."""
    layers = len(a) // 2
    wa, wb = ([p[f"{2 * k}.weight"].to(dtype).numpy() for k in range(layers)] for p in (a, b))
    ba, bb = ([p[f"{2 * k}.bias"].to(dtype).numpy() for k in range(layers)] for p in (a, b))
    ends = [wa[0].shape[1], *(w.shape[0] for w in wa)]
    perm, sign = [np.arange(n) for n in ends], [np.ones(n, wa[0].dtype) for n in ends]

    def moved(k: int) -> np.ndarray:
        out, into = k + 1, k
        return sign[out][:, None] * wb[k][perm[out]][:, perm[into]] * sign[into]

    def distance() -> float:
        gaps = [((wa[k] - moved(k)) ** 2).sum() for k in range(layers)]
        return float(sum(gaps) + sum(((ba[k] - sign[k + 1] * bb[k][perm[k + 1]]) ** 2).sum() for k in range(layers)))

    def choose(k: int, gain: np.ndarray, cost: np.ndarray) -> None:
        rows, columns = linear_sum_assignment(cost)
        perm[k] = columns
        sign[k][:] = np.where(gain[rows, columns] < 0, -1.0, 1.0) if signs else 1.0

    for k in range(1, layers) if sweep else ():
        before = wb[k - 1][:, perm[k - 1]] * sign[k - 1]
        gain = wa[k - 1] @ before.T + np.outer(ba[k - 1], bb[k - 1])
        norm = (before**2).sum(1) + bb[k - 1] ** 2
        left, right = (np.sort(np.abs(w[k].T) if signs else w[k].T, 1) for w in (wa, wb))
        if k == layers - 1:  # the outputs are known
            gain, norm = gain + wa[k].T @ wb[k], norm + (wb[k] ** 2).sum(0)
            left = right = np.zeros((1, 1))
        choose(k, gain, norm + (right**2).sum(1) - 2 * (np.abs(gain) if signs else gain) - 2 * left @ right.T)

    best = distance()
    while True:
        for k in range(1, layers):
            into = wa[k - 1] @ (wb[k - 1][:, perm[k - 1]] * sign[k - 1]).T
            out = wa[k].T @ (sign[k + 1][:, None] * wb[k][perm[k + 1]])
            gain = into + out + np.outer(ba[k - 1], bb[k - 1])
            choose(k, gain, -np.abs(gain) if signs else -gain)
        now = distance()
        if now >= best * (1 - 1e-9):
            return now
        best = now


def squared(a: Params, b: Params) -> float:
    return sum(float((a[name].double() - b[name].double()).square().sum()) for name in a)


def raced(
    spec: ws.SymmetrySpec, ways: dict[str, Callable[[Params, Params], float]], against: str, rounds: int
) -> tuple[dict[str, list[float]], ...]:
    """By way, on three pairs of networks: seconds, ratios of medians to those of ``against``, squared distances."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    ratios: dict[str, list[float]] = {name: [] for name in ways}
    ends: dict[str, list[float]] = {name: [] for name in ways}
    for seed in range(3):
        a, b = draw(spec, 2 * seed), draw(spec, 2 * seed + 1)
        reached: dict[str, float] = {}

        def keep(name: str, pair: tuple[Params, Params] = (a, b), to: dict[str, float] = reached) -> None:
            to[name] = ways[name](*pair)

        times = interleaved({name: partial(keep, name) for name in ways}, rounds)
        for name in ways:
            seconds[name].extend(times[name])
            ratios[name].append(median_ratio(times[name], times[against]))
            ends[name].append(reached[name])
    return seconds, ratios, ends


def row(name: str, seconds: list[float], ratios: list[float], ends: list[float]) -> tuple[str, ...]:
    near = ", ".join(f"{end:.0f}" for end in ends)
    return name, f"{statistics.median(seconds):.3f} s", f"{statistics.median(ratios):.2f}", near


def against_plain(rounds: int) -> dict[str, object]:
    out: dict[str, object] = {}
    rows = []
    for group, signs in (("", False), ("sign", True)):
        spec = chain((784, 512, 512, 512, 10), group)
        ways = {
            "ours": lambda a, b, s=spec: squared(a, align(a, b, s).params),
            "plain, from the identity": lambda a, b, s=signs: plain(a, b, s, False),
            "plain, from a sweep": lambda a, b, s=signs: plain(a, b, s, True),
        }
        seconds, ratios, ends = raced(spec, ways, "ours", rounds)
        what = "order and signs" if signs else "order"
        out[what] = {"seconds": seconds, "times ours": ratios, "squared distance": ends}
        rows += [(what, *row(name, seconds[name], ratios[name], ends[name])) for name in ways]
    print_table(("matched over", "by", "median", "times ours", "squared distance, three pairs"), rows)
    return out


def with_scales(rounds: int) -> dict[str, object]:
    """ReLU networks: all symmetries and permutations alone, beside the plain loop over permutations in float32."""
    spec = chain((784, 512, 512, 512, 10), "positive")
    loop = "plain, order, float32, from the identity"
    ways = {
        loop: lambda a, b: plain(a, b, False, False, torch.float32),
        "ours, order": lambda a, b: squared(a, align(a, b, without_scales(spec)).params),
        "ours, order and positive scales": lambda a, b: squared(a, align(a, b, spec).params),
    }
    seconds, ratios, ends = raced(spec, ways, loop, rounds)
    rows = [row(name, seconds[name], ratios[name], ends[name]) for name in ways]
    print_table(("ReLU networks, by", "median", "times plain", "squared distance, three pairs"), rows)
    return {"seconds": seconds, "times plain": ratios, "squared distance": ends}


def many_inrs() -> dict[str, object]:
    spec = chain((2, 32, 32, 1), "sign")
    a, b = draw(spec, 0, 1000), draw(spec, 1, 1000)
    start = time.perf_counter()
    found = align(a, b, spec)
    seconds = time.perf_counter() - start
    print(f"1,000 pairs of INRs (2-32-32-1): {seconds:.1f} s; {found}")
    return {"seconds": seconds, "mean distance": float(found.distance.mean())}


def growth(rounds: int) -> list[dict[str, float]]:
    rows, table = [], []
    for width in WIDTHS:
        spec = chain((64, width, width, width, 10), "sign")
        a, b = draw(spec, 0), draw(spec, 1)
        encoder = ws.nn.InvariantFunctional(spec, width=64, out=128)
        stacked = ws.gauge.stack([a])
        with torch.no_grad():
            times = interleaved(
                {"align": lambda a=a, b=b, s=spec: align(a, b, s), "encoder": lambda e=encoder, s=stacked: e(s)},
                rounds,
                60.0,
            )
        weights = sum(value.numel() for value in a.values())
        median = {name: statistics.median(values) for name, values in times.items()}
        rows.append({"width": width, "parameters": weights, **median})
        table.append((str(width), f"{weights:,}", f"{median['align']:.3f} s", f"{median['encoder']:.3f} s"))
    print_table(("width", "parameters", "align one pair", "encoder, one network"), table)
    slopes = {
        name: float(np.polyfit(np.log([r["parameters"] for r in rows[2:]]), np.log([r[name] for r in rows[2:]]), 1)[0])
        for name in ("align", "encoder")
    }
    print("growth with parameters, exponent from width 128 on:", {k: round(v, 2) for k, v in slopes.items()})
    return [*rows, slopes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/align"))
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(2)
    result = {
        "environment": environment(),
        "plain": against_plain(args.rounds),
        "positive scales": with_scales(args.rounds),
        "inrs": many_inrs(),
        "growth": growth(args.rounds),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "align.json", result)
    draw_growth(args.out / "growth.svg", result["growth"])


def draw_growth(path: Path, found: list[dict[str, float]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(5.5, 3.8))
    *rows, slopes = found
    for name, mark in (("align", "o-"), ("encoder", "s--")):
        label = f"{name}: parameters to the {slopes[name]:.2f}"
        axis.loglog([row["parameters"] for row in rows], [row[name] for row in rows], mark, label=label)
    axis.set_xlabel("parameters")
    axis.set_ylabel("seconds")
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
