"""Barriers between independently trained networks of a seed zoo, on images that none of them has seen.

    weightspace zoo make mlp512_mnist_relu --num 40 --out zoo --data DIR
    python benchmarks/barriers.py zoo --module wide_mlp_relu --data DIR --out runs/barriers/mlp512_mnist_relu

Networks 0 and 1, 2 and 3, ... are pairs. Methods: as given; matched by weights, permutations only and over the whole
symmetry; matched by features (what neurons do on training images, and what follows), likewise; all with repaired
statistics as well. Prints the largest loss and the accuracy at the midpoint against the mean of the ends, with 95 %
bootstrap intervals over pairs, and in how many pairs the whole symmetry is worse than permutations only. Writes
barriers.csv, barrier_curves.csv, barriers.svg and barriers.json; what is in OUT/pairs already is not computed again.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import json
from pathlib import Path

import torch
from _timing import environment, keep_freed_memory, print_table
from rich.progress import track

import weightspace as ws
from weightspace.alignment import Barrier, classification, match_activations
from weightspace.files.atomic import write_text
from weightspace.spec import without_scales
from weightspace.tasks import Barriers, Method, PairBarrier, barriers, methods, repaired

CONTROLS = {"weights": "permutations", "features": "features, permutations"}
"""By method, the same with permutations only."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--module", required=True, help="factory in weightspace.zoo")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="begin with this pair: several processes share the work")
    parser.add_argument("--points", type=int, default=11)
    parser.add_argument("--images", type=int, default=5000, help="test images, and training images for features")
    args = parser.parse_args()
    keep_freed_memory()
    zoo = ws.zoo.Zoo.open(args.zoo)
    module, example = getattr(ws.zoo, args.module)()
    module.eval()
    kind = json.loads((args.zoo / "zoo.json").read_text())["config"]["images"]
    images = ws.zoo.load_images(kind, args.data, full_size=True)
    shape = example.shape[1:]
    x, y = images.test_x[: args.images].reshape(-1, *shape), torch.as_tensor(images.test_y[: args.images]).long()
    batches = list(images.train_x[: args.images].reshape(-1, *shape).split(1000))
    params = zoo.load()
    networks = [{name: value[k] for name, value in params.items()} for k in range(len(next(iter(params.values()))))]
    pairs = list(zip(networks[::2], networks[1::2], strict=False))[: args.pairs]
    ways = [*methods(zoo.spec, module=module, batches=batches)]
    order = without_scales(zoo.spec)
    only = Method(
        "features, permutations", lambda a, b: ws.act(match_activations(a, b, order, module, batches), b, order)
    )
    ways += [only, *(repaired(way, zoo.spec, module, batches) for way in (ways[1], only))]
    evaluate = classification(module, x, y)
    rows: list[PairBarrier] = []
    for place in track(range(args.first, len(pairs)), "pairs"):
        kept = args.out / "pairs" / f"{place}_{args.points}_{args.images}.json"
        done = json.loads(kept.read_text()) if kept.is_file() else {}
        left = [way for way in ways if way.name not in done]
        if left:
            done |= {
                row.method: to_json(row) for row in barriers([pairs[place]], evaluate, left, points=args.points).rows
            }
            write_text(kept, json.dumps(done))
        rows += [from_json(place, way.name, done[way.name]) for way in ways]
    found = Barriers(tuple(rows), tuple(way.name for way in ways), tuple(range(len(pairs) - args.first)))
    ws.run.write_barriers(args.out, found)
    table, out = [], {}
    naive = found.mean("naive", "over_mean")
    for name in found.methods:
        loss, accuracy = found.mean(name, "over_mean"), found.mean(name, "accuracy_midpoint")
        control = CONTROLS.get(name.removesuffix(" + repair"))
        control = control and control + name[len(name.removesuffix(" + repair")) :]
        gap, worse = found.difference(name, control, "over_mean") if control else (None, None)
        ends = [row.curve.accuracy for row in found.of(name)]
        end = sum(float(a[0] + a[-1]) / 2 for a in ends) / len(ends)
        share = loss.mean / naive.mean
        out[name] = {
            "barrier": loss.to_json(),
            "share of naive": share,
            "accuracy lost at the midpoint": accuracy.to_json(),
            "ends' accuracy": end,
            "less permutations only": gap and gap.to_json(),
            "pairs worse than permutations only": worse,
        }
        cells = (
            text(loss),
            f"{100 * share:.0f} %",
            text(accuracy),
            f"{end:.4f}",
            *((text(gap), f"{worse}/{len(pairs) - args.first}") if gap else ("", "")),
        )
        table.append((name, *cells))
    header = (
        "method",
        "barrier, nats",
        "of naive",
        "accuracy lost at the midpoint",
        "ends",
        "less permutations only",
        "worse pairs",
    )
    print_table(header, table)
    result = {"zoo": args.zoo.name, "pairs": len(pairs) - args.first, "images": args.images, "methods": out}
    (args.out / "barriers.json").write_text(json.dumps(result | {"environment": environment()}, indent=1) + "\n")


def to_json(row: PairBarrier) -> dict[str, object]:
    curve = row.curve
    assert curve.accuracy is not None, "classifiers"
    return {
        "t": curve.t.tolist(),
        "loss": curve.loss.tolist(),
        "accuracy": curve.accuracy.tolist(),
        "given": row.given,
    }


def from_json(place: int, method: str, found: dict[str, list[float]]) -> PairBarrier:
    curve = Barrier(*(torch.tensor(found[name], dtype=torch.float64) for name in ("t", "loss", "accuracy")))
    return PairBarrier(place, method, curve, (found["given"][0], found["given"][1]))


def text(estimate: ws.tasks.Estimate) -> str:
    return f"{estimate.mean:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


if __name__ == "__main__":
    main()
