"""Rows of the reading tasks: what each family reads off networks, in equal processor time.

    weightspace zoo make inr_mnist --num 24000 --out zoos/inr_mnist --data DIR
    weightspace zoo make cnn_zoo_cifar10_relu --out zoos/cnn_zoo_cifar10_relu --data DIR
    python benchmarks/reading.py classify --zoo zoos/inr_mnist --out runs/classify_inr_mnist --seconds 600 --seeds 0 1 2
    python benchmarks/reading.py predict --zoo zoos/cnn_zoo_cifar10_relu --out runs/predict_accuracy_cnn_relu --folds 5

`classify` tells the class of an INR by its weights, `predict` the test accuracy of a classifier. Every row has one
thread and the same seconds; the weights with the lowest validation loss count (see `learning.py`). `--train N` trains
on N networks (the curve), `--folds K` tests on every Kth of the training runs in turn instead of the zoo's own split.
Per row OUT/TASK-ROW-NETWORKS-SEED-FOLD gets three files: .json (configuration, zoo digest, curve, scores), .parquet
(what it says of every unseen network) and .safetensors (its weights, if they take 8 MB or less). What is there is not
run again. OUT/reading.md is made of all that is there; rows from zoos with different digests are refused.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from _timing import environment, write_json
from learning import learn
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from weightspace.files.atomic import write_text
from weightspace.gauge import act, sample
from weightspace.nn import (
    AbstractFamily,
    DeepSetsFamily,
    FlatFamily,
    MatrixFamily,
    PublishedFamily,
    ScaleFamily,
    StatisticsFamily,
)
from weightspace.tasks import AbstractReading, ClassifyInr, Dataset, Networks, PredictAccuracy, load_dataset, select
from weightspace.tasks.rank import r_squared, tau
from weightspace.zoo import Zoo, index_fingerprint

TASKS: dict[str, tuple[AbstractReading, str]] = {
    "classify": (ClassifyInr(), "accuracy"),
    "predict": (PredictAccuracy(), "absolute"),
}
WEIGHTS, QUERIES, BOTH = "weights", "queries", "weights, queries"

ROWS: dict[str, tuple[AbstractFamily, str, float]] = {
    "matrix": (MatrixFamily(width=64), WEIGHTS, 3e-3),
    "matrix+probes": (MatrixFamily(width=64, probes=64), BOTH, 3e-3),
    "probes": (MatrixFamily(width=64, probes=64, weights=False), QUERIES, 3e-3),
    "matrix permutations": (MatrixFamily(width=64, symmetry="permutations"), WEIGHTS, 3e-3),
    "matrix broken": (MatrixFamily(width=64, symmetry="broken"), WEIGHTS, 3e-3),
    "scale": (ScaleFamily(width=32), WEIGHTS, 3e-3),
    "deepsets": (DeepSetsFamily(width=64), WEIGHTS, 3e-3),
    "statistics": (StatisticsFamily(), WEIGHTS, 1e-3),
    "flat": (FlatFamily(), WEIGHTS, 1e-3),
}
"""What each may access and its learning rate; the published configurations come by task."""
PUBLISHED = {
    "classify": {"published": "mnist_cls", "published -B": "mnist_cls -B"},
    "predict": {"published": "cifar10 {activation}", "published -B": "cifar10 {activation} -B"},
}
LARGEST = 8 * 2**20
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=tuple(TASKS))
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", help="default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--train", type=int, nargs="+", default=[0], help="networks to train on (default: all)")
    parser.add_argument("--folds", type=int, default=0, help="folds by training run (default: the zoo's split)")
    parser.add_argument("--seconds", type=float, default=600.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    zoo = Zoo.open(args.zoo)
    task, score = TASKS[args.task]
    whole = load_dataset(zoo, task.keeps, "")
    rows = {**ROWS, **published(args.task, whole)}
    args.out.mkdir(parents=True, exist_ok=True)
    about = {"task": args.task, "zoo": zoo.config.model_dump(mode="json"), "digest": index_fingerprint(args.zoo)}
    for seed in args.seeds:
        for fold in range(max(1, args.folds)):
            data = folded(whole, fold, args.folds) if args.folds else whole
            for num in args.train:
                some = fewer(data, num) if num else data
                for name in args.rows or rows:
                    stem = f"{args.task}-{name}-{len(some.splits['train'])}-{seed}-{fold}".replace(" ", "_")
                    if not (args.out / f"{stem}.json").is_file():
                        numbers = {"row": name, "seed": seed, "fold": fold, "folds": args.folds}
                        run(args.out / stem, task, score, some, rows[name], args.seconds, about | numbers)
                        summarize(args.out)


def published(task: str, dataset: Dataset) -> dict[str, tuple[AbstractFamily, str, float]]:
    """The configurations of arXiv:2406.10685 for this task."""
    activation = dataset.target.nonlinearity
    return {
        name: (PublishedFamily(preset=preset.format(activation=activation)), WEIGHTS, 1e-3)
        for name, preset in PUBLISHED[task].items()
    }


def folded(dataset: Dataset, fold: int, folds: int) -> Dataset:
    """Every ``folds``-th training run unseen, one in eight of the others for choices."""
    params = {k: torch.cat([part.params[k] for part in dataset.splits.values()]) for k in dataset.spec.axes}
    parts = dataset.splits.values()
    rows = {k: np.concatenate([part.rows[k] for part in parts]) for k in next(iter(parts)).rows}
    every = Networks(params, rows)
    runs = np.unique(every.runs)
    np.random.default_rng(0).shuffle(runs)
    test, others = runs[fold::folds], np.setdiff1d(runs, runs[fold::folds])
    np.random.default_rng(1).shuffle(others)
    split = {"train": others[len(others) // 8 :], "val": others[: len(others) // 8], "test": test}
    places = {name: torch.from_numpy(np.flatnonzero(np.isin(every.runs, some))) for name, some in split.items()}
    return replace(dataset, splits={name: every.choose(where) for name, where in places.items()})


def fewer(dataset: Dataset, num: int) -> Dataset:
    """The first ``num`` networks to train on."""
    return replace(dataset, splits={**dataset.splits, "train": dataset.splits["train"].choose(torch.arange(num))})


def run(
    place: Path,
    task: AbstractReading,
    score: str,
    dataset: Dataset,
    row: tuple[AbstractFamily, str, float],
    seconds: float,
    about: dict[str, Any],
) -> None:
    """Trains one row and writes its files, the one that says it is done last."""
    (family, access, rate), test = row, dataset.splits["test"]
    torch.manual_seed(about["seed"])
    model, problem = task.model(family, dataset.architecture), task.open(dataset)
    curve, best = learn(model, problem, score, BATCH, about["seed"], seconds, rate)
    model.load_state_dict(best)
    model.eval()
    began = time.process_time()
    with torch.no_grad():
        answers = torch.cat([model(select(test.params, slice(k, k + 100))) for k in range(0, len(test), 100)])
    took = time.process_time() - began
    goals = problem.goals["test"]
    said = task.judged(answers, goals)
    numbers: dict[str, Any] = {name: value.double().mean().item() for name, value in said.items()}
    columns = {"network": np.arange(len(test)), "run": test.runs, "goal": goals.flatten().numpy()}
    if about["task"] == "predict":
        predicted, true = answers.sigmoid().flatten().double().numpy(), goals.flatten().double().numpy()
        held_out = dataset.splits["val"].params
        with torch.no_grad():
            known = task.calibrated(model(held_out), problem.goals["val"])
        covered = task.covered(answers, goals, known)["inside"].double().mean().item()
        numbers |= {"tau": tau(predicted, true), "r2": r_squared(predicted, true), "coverage": covered, **known}
        strata = task.strata(test.rows)
        columns |= {"predicted": predicted} | {name: np.array(groups) for name, groups in strata.items()}
    else:
        columns |= {"predicted": answers.argmax(1).numpy(), "right": said["accuracy"].bool().numpy()}
    pq.write_table(pa.table(columns), place.with_name(place.name + ".parquet"))
    size = sum(value.numel() * value.element_size() for value in best.values())
    if size <= LARGEST:
        save_file({k: v.contiguous() for k, v in best.items()}, place.with_name(place.name + ".safetensors"))
    counts = {split: len(networks) for split, networks in dataset.splits.items()}
    found = about | {
        "family": family.model_dump(mode="json"),
        "access": access,
        "parameters": sum(p.numel() for p in model.parameters()),
        "mflop_per_network": flops(model, select(test.params, slice(0, 8))) / 8e6,
        "networks_per_second": len(test) / took,
        "networks": counts,
        "seconds": curve[-1]["seconds"],
        "steps": curve[-1]["steps"],
        "invariance": invariance(model, dataset),
        "scores": numbers,
        "curve": curve,
        "environment": environment(),
    }
    write_json(place.with_name(place.name + ".json"), found)
    print(f"{place.name}: {numbers}", flush=True)


def flops(model: nn.Module, params: dict[str, torch.Tensor]) -> float:
    """Of the matrix products of a forward pass."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(params)
    return float(counter.get_total_flops())


def invariance(model: nn.Module, dataset: Dataset) -> float:
    """How much the gauge moves answers to 64 real networks, over the spread between them (float32)."""
    params = select(dataset.splits["test"].params, slice(0, 64))
    num = len(next(iter(params.values())))
    with torch.no_grad():
        here = model(params)
        there = model(act(sample(dataset.spec, 0, num=num), params, dataset.spec))
    return float((here - there).abs().max() / (here - here.roll(1, 0)).abs().max())


def summarize(out: Path) -> None:
    """The table of all rows that are there, means over seeds and folds."""
    runs = [json.loads(path.read_text()) for path in sorted(out.glob("*-*-*-*-*.json"))]
    if len({run["digest"] for run in runs}) > 1:
        raise SystemExit(f"error: rows in {out} come from different zoos (digests differ). Take another folder.")
    keys = {"classify": ["accuracy"], "predict": ["tau", "r2", "absolute", "coverage"]}
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for one in runs:
        groups.setdefault((one["task"], one["row"], one["networks"]["train"]), []).append(one)
    lines = []
    for task in dict.fromkeys(key[0] for key in groups):
        titles = ["row", "reads", *keys[task], "lowest", "highest", "runs", "trained on", "unseen", "steps"]
        titles += ["CPU seconds", "parameters", "MFLOP a network", "networks a second", "gauge error"]
        lines += ["| " + " | ".join(titles) + " |", "|---|---|" + "---:|" * (len(titles) - 2)]
        some = [(key, found) for key, found in groups.items() if key[0] == task]
        some.sort(key=lambda item: (-item[0][2], -statistics.mean(run["scores"][keys[task][0]] for run in item[1])))
        for (_, name, num), found in some:
            first = found[0]
            values = [run["scores"][keys[task][0]] for run in found]
            means = [statistics.mean(run["scores"][key] for run in found) for key in keys[task]]
            cells = [name, first["access"], *(f"{x:.3f}" for x in (*means, min(values), max(values)))]
            cells += [str(len(found)), f"{num:,}", f"{first['networks']['test']:,}", f"{first['steps']:,}"]
            cells += [f"{statistics.mean(run['seconds'] for run in found):.0f}", f"{first['parameters']:,}"]
            cells += [f"{first['mflop_per_network']:.2f}", f"{first['networks_per_second']:.0f}"]
            cells.append(f"{max(run['invariance'] for run in found):.0e}")
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    if any(run["task"] == "predict" for run in runs):
        lines += against_statistics(out, [run for run in runs if run["task"] == "predict"])
    write_text(out / "reading.md", "\n".join(lines))


def against_statistics(out: Path, runs: list[dict[str, Any]]) -> list[str]:
    """Lines of a table: tau-b less that of `statistics` on the same networks, over all and by learning rate."""
    num = max(run["networks"]["train"] for run in runs if run["fold"] == 0)
    names = dict.fromkeys(run["row"] for run in runs)
    if "statistics" not in names:
        return []
    base, lines = predictions(out, runs, "statistics", num), []
    for name in names:
        found = predictions(out, runs, name, num)
        if name == "statistics" or found.keys() != base.keys():
            continue
        joined = {k: np.concatenate([fold[k] for fold in found.values()]) for k in next(iter(found.values()))}
        other = np.concatenate([fold["predicted"] for fold in base.values()])
        groups = {"all": np.ones(len(other), bool)}
        groups |= {f"learning rate {one}": joined["learning_rate"] == one for one in np.unique(joined["learning_rate"])}
        for title, some in groups.items():
            low, middle, high = difference(
                joined["predicted"][some], other[some], joined["goal"][some], joined["run"][some]
            )
            lines.append(f"| {name} | {title} | {some.sum():,} | {middle:+.4f} | {low:+.4f} | {high:+.4f} |")
    head = [
        "| row | networks | number | tau-b less that of statistics | 2.5 % | 97.5 % |",
        "|---|---|---:|---:|---:|---:|",
    ]
    return [*head, *lines, ""] if lines else []


def predictions(
    out: Path, runs: list[dict[str, Any]], name: str, num: int
) -> dict[tuple[int, int], dict[str, np.ndarray]]:
    """By seed and fold, the columns of the parquet files of a row that was trained on all networks."""
    found = {}
    for run in runs:
        if run["row"] == name and (run["folds"] or run["networks"]["train"] == num):
            stem = f"predict-{name}-{run['networks']['train']}-{run['seed']}-{run['fold']}".replace(" ", "_")
            table = pq.read_table(out / f"{stem}.parquet")
            found[run["seed"], run["fold"]] = {k: np.asarray(table[k].to_pylist()) for k in table.column_names}
    return found


def difference(one: np.ndarray, other: np.ndarray, true: np.ndarray, run: np.ndarray) -> tuple[float, float, float]:
    """Difference of tau-b with its 95 % interval, from 300 paired resamples of training runs."""
    rng, names = np.random.default_rng(0), np.unique(run)
    places = [np.flatnonzero(run == name) for name in names]
    draws = []
    for _ in range(300):
        some = np.concatenate([places[k] for k in rng.integers(0, len(names), len(names))])
        draws.append(tau(one[some], true[some]) - tau(other[some], true[some]))
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), tau(one, true) - tau(other, true), float(high)


if __name__ == "__main__":
    main()
