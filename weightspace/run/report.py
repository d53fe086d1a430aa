"""``report.html`` of a run folder: one file that opens without a network, made from the folder's files alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._errors import ConfigError
from ..files.atomic import read_json, write_text
from ..plots import curves, drawn
from ..tasks import AbstractTask, Table
from ._page import Figure, page
from .record import CONFIG, REPORT, RESULTS, read_metrics
from .symmetry import symmetry_table


def report(run_dir: Path) -> Path:
    """Write ``report.html`` and ``plots/*.svg`` into a run folder; returns the page's path.

    Reads ``results.json``, ``metrics.jsonl`` and ``config.yaml`` only. A method that was not evaluated stands
    in the tables as *not run*.

    Raises:
        ConfigError: if the folder has no readable ``results.json``.
    """
    results = read_results(run_dir)
    task, config = task_of(results), run_dir / CONFIG
    shown = _figures(task, results, read_metrics(run_dir))
    for name, figure in shown.items():
        write_text(run_dir / "plots" / f"{name}.svg", figure.svg)
    text = page(
        task.title(results),
        task.headline(results),
        list(shown.values()),
        tables(results),
        _facts(task, results),
        results.get("command") or "",
        config.read_text() if config.exists() else "",
    )
    path = run_dir / REPORT
    write_text(path, text)
    return path


def read_results(run_dir: Path) -> dict[str, Any]:
    """``results.json`` of a run folder.

    Raises:
        ConfigError: if it is missing or not JSON.
    """
    if not (run_dir / RESULTS).is_file():
        raise ConfigError(
            f"{run_dir} has no {RESULTS}, so it was not evaluated yet. Type: weightspace evaluate {run_dir}"
        )
    return read_json(run_dir / RESULTS)


def task_of(results: Mapping[str, Any]) -> type[AbstractTask]:
    """The task that results are of; those from before there were several are of networks that were improved."""
    return AbstractTask.of(results.get("task", "improve"))


def headline(results: Mapping[str, Any]) -> str:
    """One honest sentence about a run, made from its numbers."""
    return task_of(results).headline(results)


def tables(results: Mapping[str, Any]) -> list[Table]:
    """The tables of a run: those of its task, and how far its models keep the symmetry."""
    symmetry = symmetry_table(results)
    return [*task_of(results).tables(results), *([] if symmetry is None else [symmetry])]


def _figures(
    task: type[AbstractTask], results: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]
) -> dict[str, Figure]:
    own = {name: Figure(name, *parts) for name, parts in task.figures(results).items()}
    keys = [key for key in dict.fromkeys(key for line in metrics for key in line) if key.startswith("val_")]
    panels = [(key, key.removeprefix("val_") + ", validation", 1.0) for key in keys[:2]]
    names = {row["method"]: row.get("label") or row["method"] for row in results["rows"]}
    svg = drawn("curves", lambda: curves(metrics, panels, names)) if panels else None
    caption = "Scores of each trained model on validation networks."
    return own | ({"curves": Figure("curves", "Training", caption, svg)} if svg else {})


def _facts(task: type[AbstractTask], results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was run, as (name, value)."""
    counts = results.get("num_networks") or {}
    models = results.get("models") or {}
    facts = task.described(results) | {
        "models": ", ".join(f"{name}: {kind}" for name, kind in models.items()),
        "networks": ", ".join(f"{count} {split}" for split, count in counts.items()),
        "seed": str(results.get("seed", "?")),
        "commit": str(results.get("commit") or "unknown"),
        "intervals": "95 %, bootstrap over networks, paired where a difference is shown",
    }
    return [(name, value) for name, value in facts.items() if value]
