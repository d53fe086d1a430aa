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
run again. OUT/reading.md is made of all that is there (`reading_table.py`). Rows that differ in seconds or zoo
are refused.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
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
from reading_table import check_same, summarize
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from weightspace.nn import (
    AbstractFamily,
    DeepSetsFamily,
    FlatFamily,
    MatrixFamily,
    PublishedFamily,
    ScaleFamily,
    StatisticsFamily,
)
from weightspace.run.symmetry import symmetry_error
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
    check_same(args.out, args.task, args.seconds, index_fingerprint(args.zoo))
    whole = load_dataset(zoo, task.keeps, "")
    rows = {**ROWS, **published(args.task, whole)}
    args.out.mkdir(parents=True, exist_ok=True)
    about = {"task": args.task, "asked_seconds": args.seconds}
    about |= {"zoo": zoo.config.model_dump(mode="json"), "digest": index_fingerprint(args.zoo)}
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
    """Some ``num`` of the networks to train on; of a zoo with checkpoints these come from nearly all of its runs."""
    train = dataset.splits["train"]
    some = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:num]
    return replace(dataset, splits={**dataset.splits, "train": train.choose(some)})


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
        columns |= {"predicted": predicted}
        columns |= {name: test.rows[name] for name in ("learning_rate", "optimizer", "epoch") if name in test.rows}
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
        "mflop_per_network": flops(model, select(test.params, slice(0, 1))) / 1e6,
        "networks_per_second": len(test) / took,
        "networks": counts,
        "seconds": curve[-1]["seconds"],
        "steps": curve[-1]["steps"],
        "invariance": symmetry_error(model, dataset.spec, test.params, BATCH)["error"],
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


if __name__ == "__main__":
    main()
