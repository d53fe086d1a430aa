"""What families of metanetworks learn in equal processor time: test score against seconds, several seeds.

    weightspace zoo make inr_mnist --num 2500 --out zoos/inr_mnist --data DIR
    weightspace zoo make digits_mlp_tanh --out zoos/digits_mlp_tanh
    python benchmarks/learning.py read --zoo zoos/inr_mnist --out runs/learning
    python benchmarks/learning.py improve --zoo zoos/digits_mlp_tanh --out runs/learning

`read` tells the digit of an INR by its weights, `improve` lowers the loss of classifiers in one pass. Every run has one
thread and the same seconds, in which its learning rate falls along a cosine; validation and test take no part of them.
Early stopping is on in all: the score at a time is that of the weights with the lowest validation loss so far, on the
test networks. Writes OUT/TASK-FAMILY-SEED.json as each run ends (what is there is not run again), and OUT/learning.svg
and OUT/learning.md from all that are there.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder last: operator.py in it is not the one that Python means

import argparse
import json
import math
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from _timing import environment, write_json
from torch import Tensor, nn

from weightspace.files.atomic import write_text
from weightspace.nn import AbstractFamily, MatrixFamily, PublishedFamily, ScaleFamily
from weightspace.plots import METHODS, drawn, empty
from weightspace.run.config import TrainConfig
from weightspace.run.draws import draw_networks
from weightspace.tasks import AbstractProblem, AbstractTask, Batch, ClassifyInr, Improve, load_dataset, select
from weightspace.zoo import Zoo

TASKS: dict[str, tuple[AbstractTask, str, int]] = {
    "read": (ClassifyInr(), "accuracy", 32),
    "improve": (Improve(min_val_accuracy=0.3, images_per_step=600), "accuracy", 8),
}
"""Task, score and networks per step."""

FAMILIES: dict[str, dict[str, AbstractFamily]] = {
    "read": {
        "matrix": MatrixFamily(width=64),
        "scale": ScaleFamily(width=32),
        "published": PublishedFamily(preset="mnist_cls"),
    },
    "improve": {
        "matrix": MatrixFamily(width=32),
        "scale": ScaleFamily(width=32),
        # The published operators have ten rounds of 128 channels: no step ends in this time.
        "published": PublishedFamily(preset="mnist_edit", width=32, rounds=4),
    },
}
RATE = {"matrix": 3e-3, "scale": 3e-3, "published": 1e-3}
SECONDS = {"read": 200.0, "improve": 120.0}
LOOKS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=tuple(TASKS))
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--families", nargs="+", default=["matrix", "scale", "published"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, help=f"default: {SECONDS}")
    args = parser.parse_args()
    torch.set_num_threads(1)
    task, score, size = TASKS[args.task]
    dataset = load_dataset(Zoo.open(args.zoo), task.keeps, "")
    problem = task.open(dataset, data_dir=args.data)
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for name in args.families:
            place = args.out / f"{args.task}-{name}-{seed}.json"
            if place.is_file():
                continue
            family, seconds = FAMILIES[args.task][name], args.seconds or SECONDS[args.task]
            torch.manual_seed(seed)
            model = task.model(family, dataset.architecture)
            curve, _ = learn(model, problem, score, size, seed, seconds, RATE[name])
            row = {"task": args.task, "family": family.model_dump(mode="json"), "seed": seed, "score": score}
            counts = {split: len(networks) for split, networks in dataset.splits.items()}
            numbers = {"parameters": sum(p.numel() for p in model.parameters()), "networks": counts}
            write_json(place, row | numbers | {"curve": curve, "environment": environment()})
            print(f"{place.name}: {curve[-1]}", flush=True)
            summarize(args.out)


def learn(
    model: nn.Module, problem: AbstractProblem, score: str, size: int, seed: int, seconds: float, rate: float
) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """Seconds, steps, and the test score of the best weights so far, look by look; and these weights."""
    settings = TrainConfig(batch_size=size, seed=seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
    splits = problem.dataset.splits
    held_out = {
        name: Batch(splits[name].params, name, torch.arange(len(splits[name])), seed) for name in ("val", "test")
    }
    curve: list[dict[str, float]] = []
    best, spent, step = math.inf, 0.0, 0
    weights: dict[str, Tensor] = {}
    for look in range(LOOKS + 1):
        began = time.process_time()
        while spent + time.process_time() - began < seconds * look / LOOKS:
            done = (spent + time.process_time() - began) / seconds
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
            where = draw_networks(settings, step, len(splits["train"]))
            batch = Batch(select(splits["train"].params, where), "train", where, seed, step)
            optimizer.zero_grad(set_to_none=True)
            problem.loss(model.train(), batch).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
        spent += time.process_time() - began
        with torch.no_grad():
            model.eval()
            found = problem.validate(model, held_out["val"], size)
            if found["loss"] < best:
                best, test = found["loss"], problem.validate(model, held_out["test"], size)
                weights = {name: value.clone() for name, value in model.state_dict().items()}
        curve.append({"seconds": round(spent, 2), "steps": step, "val_loss": best, score: test[score], **test})
    return curve, weights


def summarize(out: Path) -> None:
    """The figure and the table of all runs that are there."""
    runs = [json.loads(path.read_text()) for path in sorted(out.glob("*-*-*.json"))]
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for run in runs:
        found.setdefault(run["task"], {}).setdefault(run["family"]["kind"], []).append(run)
    write_text(out / "learning.svg", drawn("learning", lambda: figure(found)) or "")
    lines = [
        "| task | family | parameters | steps | seconds | test score, seeds | mean | spread |",
        "|---|---|---:|---:|---:|---|---:|---:|",
    ]
    for task, families in found.items():
        for kind, some in families.items():
            ends = [100 * run["curve"][-1][run["score"]] for run in some]
            last = some[0]["curve"][-1]
            lines.append(
                f"| {task} | {kind} | {some[0]['parameters']:,} | {last['steps']} | {last['seconds']:.0f} | "
                f"{', '.join(f'{end:.1f}' for end in ends)} | {statistics.mean(ends):.1f} | "
                f"{max(ends) - min(ends):.1f} |"
            )
    write_text(out / "learning.md", "\n".join(lines) + "\n")


def figure(found: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> Any:
    """A panel for each task, a line for each seed in the colour of its family."""
    drawing, panels = empty(4.2 * len(found), 3.2, len(found))
    for panel, (task, families) in zip(panels, found.items(), strict=True):
        for place, (kind, runs) in enumerate(sorted(families.items())):
            for number, run in enumerate(runs):
                seconds = [point["seconds"] for point in run["curve"]]
                values = [100 * point[run["score"]] for point in run["curve"]]
                panel.plot(seconds, values, color=METHODS[place], label=None if number else kind)
        panel.set_title(f"{task}: test accuracy (%)", fontsize=10, loc="left")
        panel.set_xlabel("processor seconds, one thread")
        panel.legend()
    return drawing


if __name__ == "__main__":
    main()
