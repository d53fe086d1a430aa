"""Eight independently trained networks merged into one, on images that none of them was trained on.

    weightspace zoo make mlp512_mnist_relu --num 40 --out zoo --data DIR
    python benchmarks/merge_many.py zoo --module wide_mlp_relu --data DIR --out runs/merge_many/mlp512_mnist_relu

Draws of eight are disjoint: networks 0 to 7, 8 to 15, and so on. Each is merged by its weights and by its features
(what neurons do on training images), with and without repaired statistics, and compared with the best and the mean
single network, the ensemble, the naive average, and greedy soups. Choices (best network, soups) are made on one half of
the test images, the table is about the other half. Prints means over draws with 95 % intervals (Student's t), and the
largest deviation from the identity of all cycles of two and three maps. Writes rows.csv and merge_many.json after each
draw; the same command goes on from there.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import csv
import io
import json
import time
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from _timing import environment, keep_freed_memory, print_table
from rich.progress import Progress
from scipy.stats import t as student
from torch import Tensor
from torch.func import functional_call

import weightspace as ws
from weightspace.alignment import Merged, classification, merge, repair
from weightspace.files.atomic import write_text

Params = dict[str, Tensor]
Score = tuple[float, float]
"""Loss in nats and accuracy."""

NUM = 8
COLUMNS = ("draw", "method", "loss", "accuracy", "networks", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--module", required=True, help="factory in weightspace.zoo")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--images", type=int, default=2000, help="training images for features and statistics")
    args = parser.parse_args()
    keep_freed_memory()
    zoo = ws.zoo.Zoo.open(args.zoo)
    module, example = getattr(ws.zoo, args.module)()
    bench = Bench(module.eval(), example, zoo.spec, json.loads((args.zoo / "zoo.json").read_text())["config"], args)
    params = zoo.load()
    draws = min(args.draws, len(next(iter(params.values()))) // NUM)
    rows, cycles = so_far(args.out)
    done = {row["draw"] for row in rows}
    with Progress() as bar:
        line = bar.add_task("draws", total=draws, completed=len(done))
        for draw in set(range(draws)) - done:
            networks = [{k: v[place] for k, v in params.items()} for place in range(draw * NUM, draw * NUM + NUM)]
            found, worst = bench.compare(networks)
            rows += [{"draw": draw, **row} for row in found]
            cycles = {name: max(value, worst[name]) for name, value in cycles.items()}
            bar.advance(line)
            write(args.out, rows, cycles, args.zoo.name, args.images)
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    print_table(
        ("method", "accuracy, %", "loss, nats", "networks used"),
        [(name, *cells(rows, name)) for name in methods],
    )
    print(f"cycles of two and three maps, largest deviation from the identity: {cycles}")


class Bench:
    """What is measured on eight networks."""

    def __init__(self, module: torch.nn.Module, example: Tensor, spec, config: dict, args: argparse.Namespace) -> None:
        images = ws.zoo.load_images(config["images"], args.data, full_size=True)
        shape = example.shape[1:]
        self.module, self.spec, self.example = module, spec, example
        self.test, self.labels = images.test_x.reshape(-1, *shape), torch.as_tensor(images.test_y).long()
        self.batches = list(images.train_x[: args.images].reshape(-1, *shape).split(500))
        self.measure = classification(module, self.test, self.labels)
        self.choose = classification(module, images.val_x.reshape(-1, *shape), torch.as_tensor(images.val_y).long())

    def compare(self, networks: list[Params]) -> tuple[list[dict[str, object]], dict[str, float]]:
        """Rows by method, and the worst deviation of any cycle."""
        rows: list[dict[str, object]] = []

        def add(method: str, score: Score, used: int = NUM, seconds: float = 0.0) -> None:
            rows.append(
                {"method": method, "loss": score[0], "accuracy": score[1], "networks": used, "seconds": seconds}
            )

        singles = [self.measure(net) for net in networks]
        best = max(range(NUM), key=lambda k: self.choose(networks[k])[1])
        add("mean single", tuple(np.mean(singles, 0)), 1)
        add("best single", singles[best], 1)
        for name, score in self.ensembles(networks).items():
            add(name, score)
        naive = mean(networks)
        add("naive average", self.measure(naive))
        add("naive average + repair", self.measure(repair(self.module, naive, networks, self.spec, self.batches)))
        worst = {"permutations and signs": 0.0, "sizes": 0.0}
        for how, inputs in (("weights", None), ("features", self.batches)):
            began = time.perf_counter()
            words = {"module": self.module, "example": self.test[:64], "inputs": inputs}
            found = merge(networks, self.spec, **words)
            seconds = time.perf_counter() - began
            ends = found.moved(networks, self.spec)
            add(f"merge by {how}", self.measure(found.params), NUM, seconds)
            add(f"merge by {how} + repair", self.measure(self.soup(ends)), NUM, seconds)
            chosen = greedy(ends, lambda some: self.choose(self.soup(some))[1])
            add(f"greedy soup by {how} + repair", self.measure(self.soup(chosen)), len(chosen))
            worst = {name: max(value, deviations(found)[name]) for name, value in worst.items()}
        return rows, worst

    def soup(self, ends: list[Params]) -> Params:
        """The mean of aligned networks, with the statistics that they have; a single one as it is."""
        if len(ends) == 1:
            return ends[0]
        return repair(self.module, mean(ends), ends, self.spec, self.batches)

    def ensembles(self, networks: list[Params]) -> dict[str, Score]:
        """Of the outputs of all networks: the mean of logits, and of probabilities."""
        with torch.no_grad():
            outputs = torch.stack(
                [
                    torch.cat([functional_call(self.module, net, (x,)) for x in self.test.split(1000)])
                    for net in networks
                ]
            ).double()
        means = {"ensemble, logits": outputs.mean(0), "ensemble, probabilities": outputs.softmax(-1).mean(0).log()}
        return {name: (self.loss(mean), self.accuracy(mean)) for name, mean in means.items()}

    def loss(self, logits: Tensor) -> float:
        return float(torch.nn.functional.cross_entropy(logits, self.labels))

    def accuracy(self, logits: Tensor) -> float:
        return float((logits.argmax(-1) == self.labels).double().mean())


def mean(networks: list[Params]) -> Params:
    """The plain average."""
    return {
        name: torch.stack([net[name].double() for net in networks]).mean(0).to(value)
        for name, value in networks[0].items()
    }


def greedy(ends: list[Params], score: Callable[[list[Params]], float]) -> list[Params]:
    """The networks of a greedy soup, from aligned ones: ``greedy_soup`` would align them once more."""
    order = sorted(ends, key=lambda net: -score([net]))
    chosen, best = order[:1], score(order[:1])
    for net in order[1:]:
        here = score([*chosen, net])
        if here >= best:
            chosen, best = [*chosen, net], here
    return chosen


def deviations(found: Merged) -> dict[str, float]:
    """How far maps around any cycle of two or three networks are from the identity at worst."""
    num = len(found.weights)
    maps = {(i, j): found.between(i, j) for i, j in permutations(range(num), 2)}
    order = size = 0.0
    for length in (2, 3):
        for cycle in permutations(range(num), length):
            steps = [maps[i, j] for i, j in zip(cycle, (*cycle[1:], cycle[0]), strict=True)]
            total = steps[0]
            for step in steps[1:]:
                total = ws.compose(step, total)
            for name, perm in total.perm.items():
                scale = total.scale[name]
                order = max(order, float((perm != torch.arange(len(perm))).sum()), float((scale < 0).sum()))
                size = max(size, float((scale.abs() - 1).abs().max()))
    return {"permutations and signs": order, "sizes": size}


def so_far(out: Path) -> tuple[list[dict[str, object]], dict[str, float]]:
    """Rows of draws that are done, and the deviations of their cycles."""
    if not (out / "merge_many.json").is_file():
        return [], {"permutations and signs": 0.0, "sizes": 0.0}
    kinds = {"draw": int, "method": str, "networks": int}
    with (out / "rows.csv").open() as file:
        rows = [{key: kinds.get(key, float)(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return rows, json.loads((out / "merge_many.json").read_text())["cycles"]


def write(out: Path, rows: list[dict[str, object]], cycles: dict[str, float], zoo: str, images: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out / "rows.csv", text.getvalue())
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    table = {
        name: {
            measure: dict(zip(("mean", "half"), estimate(rows, name, measure), strict=True)) for measure in COLUMNS[2:]
        }
        for name in methods
    }
    draws = len({row["draw"] for row in rows})
    result = {"zoo": zoo, "networks": NUM, "draws": draws, "images": images, "cycles": cycles, "methods": table}
    write_text(out / "merge_many.json", json.dumps(result | {"environment": environment()}, indent=1) + "\n")


def estimate(rows: list[dict[str, object]], method: str, measure: str) -> tuple[float, float | None]:
    """Mean over draws and half the width of its 95 % interval; none from a single draw."""
    values = np.array([row[measure] for row in rows if row["method"] == method], dtype=float)
    if len(values) < 2:
        return float(values.mean()), None
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean()), float(half)


def cells(rows: list[dict[str, object]], method: str) -> tuple[str, ...]:
    out = []
    for measure, factor, digits in (("accuracy", 100, 2), ("loss", 1, 4)):
        mean, half = estimate(rows, method, measure)
        out.append(f"{factor * mean:.{digits}f}" + ("" if half is None else f" ± {factor * half:.{digits}f}"))
    return (*out, f"{estimate(rows, method, 'networks')[0]:.1f}")


if __name__ == "__main__":
    main()
