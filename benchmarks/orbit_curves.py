"""Our curves between copies of INRs against the published ones, at five places.

    weightspace interpolate orbit_inr_mnist --zoo zoos/inr_mnist --data DIR --out out/orbit_inr_mnist
    python benchmarks/orbit_curves.py out/orbit_inr_mnist --out runs/orbits/inr_mnist_against_published.csv

The published means are read off the vector graphics of Figs. 3 and 7 of arXiv:2511.12601 (runs/orbits/published.csv).
Both curves have 40 places; between two of them means are interpolated. Prints every point and the largest deviation.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import csv
from pathlib import Path

import numpy as np
from _timing import print_table

PUBLISHED = Path(__file__).parents[1] / "runs" / "orbits" / "published.csv"
TOLERANCE = 0.15
"""Relative deviation that counts as reproduced: the networks are not those of the paper."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of 'weightspace interpolate orbit_inr_mnist'")
    parser.add_argument("--out", type=Path, required=True, help="the table, .csv")
    args = parser.parse_args()
    ours: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with (args.folder / "curves.csv").open() as file:
        for row in csv.DictReader(file):
            ours.setdefault((row["panel"], row["method"]), []).append((float(row["t"]), float(row["mean"])))
    lines, inside = [], 0
    with PUBLISHED.open() as file:
        for row in csv.DictReader(file):
            places, values = zip(*ours[row["panel"], row["method"]], strict=True)
            mean, published = float(np.interp(float(row["t"]), places, values)), float(row["mean"])
            off = mean / published - 1
            inside += abs(off) <= TOLERANCE
            lines.append(
                (row["panel"], row["method"], row["t"], f"{published:.4f}", f"{mean:.4f}", f"{100 * off:+.0f}")
            )
    header = ("panel", "method", "t", "published", "here", "deviation, %")
    print_table(header, lines)
    print(f"{inside} of {len(lines)} points within {100 * TOLERANCE:.0f} %")
    with args.out.open("w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([header, *lines])


if __name__ == "__main__":
    main()
