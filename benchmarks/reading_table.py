"""Tables of `reading.py`: means of every row, and paired differences of tau-b to the row `statistics`."""

import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from weightspace.files.atomic import write_text
from weightspace.tasks.rank import tau

SCORES = {"classify": ["accuracy"], "predict": ["tau", "r2", "absolute", "coverage"]}
RESAMPLES = 300
Run = dict[str, Any]


def runs_of(out: Path) -> list[Run]:
    """What lies in the folder, with the stem of its files."""
    return [json.loads(path.read_text()) | {"stem": path.stem} for path in sorted(out.glob("*-*-*-*-*.json"))]


def check_same(out: Path, task: str, seconds: float, digest: str) -> None:
    """Exits unless all rows of the task that are there were trained as long, on the same zoo."""
    for run in runs_of(out):
        if run["task"] == task and (run["asked_seconds"] != seconds or run["digest"] != digest):
            raise SystemExit(
                f"error: {out / run['stem']}.json was trained for {run['asked_seconds']:g} s on the zoo "
                f"{run['digest'][:12]}, now {seconds:g} s on {digest[:12]} are asked for. Take another --out."
            )


def summarize(out: Path) -> None:
    """Writes reading.md: a table for each task."""
    runs, lines = runs_of(out), []
    for task in dict.fromkeys(run["task"] for run in runs):
        some = [run for run in runs if run["task"] == task]
        lines += [*table(task, some), ""]
        if task == "predict":
            lines += [*against_statistics(out, some), ""]
    write_text(out / "reading.md", "\n".join(lines).rstrip() + "\n")


def table(task: str, runs: list[Run]) -> list[str]:
    """Means over seeds and folds, by row and number of networks trained on."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:  # folds differ by a few networks
        groups.setdefault((run["row"], "" if run["folds"] else f"{run['networks']['train']}"), []).append(run)
    scores = SCORES[task]
    titles = ["row", "reads", *scores, "lowest", "highest", "runs", "trained on", "unseen", "steps", "CPU seconds"]
    titles += ["parameters", "MFLOP a network", "networks a second", "gauge error"]
    lines = ["| " + " | ".join(titles) + " |", "|---|---|" + "---:|" * (len(titles) - 2)]
    for found in sorted(groups.values(), key=lambda some: -mean(some, scores[0])):
        first, values = found[0], [run["scores"][scores[0]] for run in found]
        cells = [first["row"], first["access"]]
        cells += [f"{value:.3f}" for value in (*(mean(found, key) for key in scores), min(values), max(values))]
        cells += [str(len(found)), f"{first['networks']['train']:,}", f"{first['networks']['test']:,}"]
        cells += [f"{first['steps']:,}", f"{statistics.mean(run['seconds'] for run in found):.0f}"]
        cells += [f"{first['parameters']:,}", f"{first['mflop_per_network']:.2f}"]
        cells += [f"{first['networks_per_second']:.0f}", f"{max(run['invariance'] for run in found):.0e}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def mean(runs: list[Run], score: str) -> float:
    """Over seeds and folds."""
    return statistics.mean(run["scores"][score] for run in runs)


def against_statistics(out: Path, runs: list[Run]) -> list[str]:
    """Tau-b less that of `statistics` on the same networks, over all and by thirds of the learning rate."""
    lines = [
        "| row | networks | number | tau-b less that of statistics | 2.5 % | 97.5 % |",
        "|---|---|---:|---:|---:|---:|",
    ]
    base = predictions(out, runs, "statistics")
    for name in dict.fromkeys(run["row"] for run in runs):
        found = predictions(out, runs, name)
        if name == "statistics" or found.keys() != base.keys():
            continue
        every = {key: np.concatenate([part[key] for part in found.values()]) for key in next(iter(found.values()))}
        other = np.concatenate([part["predicted"] for part in base.values()])
        for title, some in thirds(every).items():
            one, two, true, run = (x[some] for x in (every["predicted"], other, every["goal"], every["run"]))
            low, middle, high = difference(one, two, true, run)
            lines.append(f"| {name} | {title} | {some.sum():,} | {middle:+.4f} | {low:+.4f} | {high:+.4f} |")
    return lines if len(lines) > 2 else []


def predictions(out: Path, runs: list[Run], name: str) -> dict[tuple[int, int], dict[str, np.ndarray]]:
    """By seed and fold, what a row that was trained on most networks says."""
    most: dict[tuple[int, int], Run] = {}
    for run in (run for run in runs if run["row"] == name):
        key = run["seed"], run["fold"]
        if key not in most or run["networks"]["train"] > most[key]["networks"]["train"]:
            most[key] = run
    tables = {key: pq.read_table(out / f"{run['stem']}.parquet") for key, run in sorted(most.items())}
    return {key: {name: np.asarray(one[name].to_pylist()) for name in one.column_names} for key, one in tables.items()}


def thirds(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All networks, and those of each third of the learning rate."""
    found = {"all": np.ones(len(columns["goal"]), bool)}
    if "learning_rate" in columns and len(np.unique(columns["learning_rate"])) > 2:
        rate = columns["learning_rate"].astype(float)
        low, high = np.quantile(rate, [1 / 3, 2 / 3])
        found[f"learning rate up to {low:.2g}"] = rate <= low
        found[f"learning rate up to {high:.2g}"] = (rate > low) & (rate <= high)
        found[f"learning rate above {high:.2g}"] = rate > high
    return found


def difference(one: np.ndarray, other: np.ndarray, true: np.ndarray, run: np.ndarray) -> tuple[float, float, float]:
    """Lower end, value and upper end of the difference of tau-b, from paired resamples of training runs."""
    rng, names = np.random.default_rng(0), np.unique(run)
    places = [np.flatnonzero(run == name) for name in names]
    draws = []
    for _ in range(RESAMPLES):
        some = np.concatenate([places[k] for k in rng.integers(0, len(names), len(names))])
        draws.append(tau(one[some], true[some]) - tau(other[some], true[some]))
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), tau(one, true) - tau(other, true), float(high)
