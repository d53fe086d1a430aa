"""Curves between copies over all test INRs of a zoo, against the published ones: how much is the draw of ten INRs?

    python benchmarks/orbit_draws.py zoos/inr_mnist --data DIR --work out/draws --out runs/orbits/inr_mnist

The same protocol as `weightspace interpolate orbit_inr_mnist`, with every INR of the test split, fewer copies of each,
and five places. Writes PATH_points.csv: by panel, method and place the published mean, the mean over all INRs, and the
range in which the mean of ten INRs drawn at random lies 95 times in 100; and PATH_recovery.csv: how often every neuron
comes back to its place. Also prints how the shape of the naive curve goes with the spread of an INR's hidden weights.
Published means: Figs. 3 and 7 of arXiv:2511.12601, runs/orbits/published.csv.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import csv
from pathlib import Path

import numpy as np
from _timing import print_table
from rich.progress import Progress

import weightspace as ws
from weightspace.run.verbs.interpolate import interpolate

PUBLISHED = Path(__file__).parents[1] / "runs" / "orbits" / "published.csv"
DRAWS, TEN = 10_000, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--work", type=Path, required=True, help="folder of the rows; the same command continues")
    parser.add_argument("--out", type=str, required=True, help="begin of the tables' names")
    parser.add_argument("--copies", type=int, default=64)
    args = parser.parse_args()
    every = len(ws.zoo.Zoo.open(args.zoo).split("test"))
    config = ws.recipes.orbit("orbit_inr_mnist").model_copy(
        update={"networks": every, "copies": args.copies, "points": 5}
    )
    with Progress() as bar:
        line = bar.add_task("panels", total=None)
        panels, _ = interpolate(
            config,
            args.work,
            zoo=args.zoo,
            data_dir=args.data,
            progress=lambda done, total, _: bar.update(line, completed=done, total=total),
        )
    with PUBLISHED.open() as file:
        published = {(r["panel"], r["method"], float(r["t"])): float(r["mean"]) for r in csv.DictReader(file)}
    rng = np.random.default_rng(0)
    draws = np.stack([rng.choice(every, TEN, replace=False) for _ in range(DRAWS)])
    points, recovery, near, inside = [], [], 0, 0
    for rows in panels:
        name = rows.panel.name
        for method, found in rows.curves.items():
            by_network = found.loss.numpy().reshape(every, args.copies, -1).mean(1)
            for t, values in zip(rows.t.tolist(), by_network.T, strict=True):
                low, high = np.quantile(values[draws].mean(1), [0.025, 0.975])
                mean, theirs = values.mean(), published.get((name, method, t))
                numbers = [f"{mean:.4f}", f"{low:.4f}", f"{high:.4f}"]
                if theirs is not None:
                    near, inside = near + (abs(mean / theirs - 1) <= 0.15), inside + (low <= theirs <= high)
                    numbers.append(f"{100 * (mean / theirs - 1):+.0f}")
                points.append((name, method, f"{t:g}", "" if theirs is None else f"{theirs:.4f}", *numbers))
            back = found.in_place.double().numpy().reshape(every, args.copies).mean(1)
            shares = (f"{100 * back.mean():.2f}", str(int((back == 1).sum())), f"{100 * back.min():.0f}")
            recovery.append((name, method, *shares))
    print(f"{every} INRs, {args.copies} pairs of each a panel")
    header = ("panel", "method", "t", "published", "all INRs", "ten: low", "ten: high", "deviation, %")
    _write(Path(f"{args.out}_points.csv"), header, points)
    print(f"of {len(published)} published points {near} are within 15 % of all INRs', {inside} in the range of ten")
    rise = panels[-1].curves["naive"].loss.numpy().reshape(every, args.copies, -1).mean(1)
    zoo = ws.zoo.Zoo.open(args.zoo)
    spread = zoo.load(panels[-1].network[:: args.copies])["layers.1.weight"].flatten(1).std(1).numpy()
    likeness = np.corrcoef(np.log(spread), np.log(rise[:, 1] / rise[:, 2]))[0, 1]
    print(f"naive at 0.25 over the midpoint against the deviation of hidden weights: correlation {likeness:.2f}")
    header = ("panel", "method", "all neurons in place, %", "INRs always in place", "worst INR, %")
    _write(Path(f"{args.out}_recovery.csv"), header, recovery)


def _write(path: Path, header: tuple[str, ...], lines: list[tuple[str, ...]]) -> None:
    print_table(header, [(*line, *[""] * (len(header) - len(line))) for line in lines])
    with path.open("w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([header, *lines])


if __name__ == "__main__":
    main()
