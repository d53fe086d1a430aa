"""Why the linear assignment fails less often here than published: the spreads of the INRs' weights.

    python benchmarks/orbit_spreads.py zoos/inr_mnist --out runs/orbits/inr_mnist_spreads.csv

Starting from the identity, a layer is matched by what is known of it (coordinates, biases, outputs) against what is
not known yet (entries towards neurons that are not matched). The published INRs have smaller biases and larger hidden
weights than ours. Here every test INR is matched as it is, and with each parameter multiplied so that its standard
deviation over the zoo is the published one; the share of pairs without noise whose neurons all come back is counted.
Multiplied INRs show no image any more: this is about matching only.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import csv
from pathlib import Path

import torch
from _timing import print_table
from rich.progress import track

import weightspace as ws
from weightspace.alignment import align, linear_assignment
from weightspace.tasks.merging.orbit_curves import orbit_pairs, same_places

PUBLISHED = {
    "layers.0.weight": 0.0628,
    "layers.1.weight": 0.0183,
    "layers.2.weight": 0.1179,
    "layers.0.bias": 0.0213,
    "layers.1.bias": 0.0110,
}
"""Standard deviations that the code of arXiv:2511.12601 normalizes its MNIST INRs with."""

SPREADS = {"as they are": (), "first bias as published": ("layers.0.bias",), "all as published": tuple(PUBLISHED)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="the table, .csv")
    parser.add_argument("--copies", type=int, default=32)
    args = parser.parse_args()
    zoo = ws.zoo.Zoo.open(args.zoo)
    stacked = zoo.load(zoo.split("test"))
    num = len(next(iter(stacked.values())))
    lines = []
    for kind in track(("permutations", "signs", "all")):
        for title, names in SPREADS.items():
            factor = {name: PUBLISHED[name] / float(stacked[name].std()) for name in names}
            found = {"linear assignment": [], "ours": []}
            for place in range(num):
                network = {name: value[place] * factor.get(name, 1.0) for name, value in stacked.items()}
                pairs = orbit_pairs(network, zoo.spec, kind, num=args.copies, sigma=0.0, seed=place)
                for method, element in (
                    ("linear assignment", linear_assignment(pairs.first, pairs.second, zoo.spec, seed=place)),
                    ("ours", align(pairs.first, pairs.second, zoo.spec).element),
                ):
                    found[method].append(float(same_places(element, pairs.planted).double().mean()))
            for method, shares in found.items():
                share = torch.tensor(shares)
                numbers = (f"{100 * float(share.mean()):.2f}", f"{100 * float(share.min()):.0f}")
                lines.append((kind, title, method, *numbers))
    print(f"{num} INRs, {args.copies} pairs of each")
    print_table(("copies", "weights", "method", "all neurons in place, %", "worst INR, %"), lines)
    with args.out.open("w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("kind", "weights", "method", "in_place_percent", "worst_inr_percent"))
        writer.writerows(lines)


if __name__ == "__main__":
    main()
