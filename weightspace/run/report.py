"""``report.html`` of a run folder: one file that opens without a network, made from the folder's files alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._errors import ConfigError
from ..files.atomic import read_json, write_text
from ._headline import headline
from ._page import page
from .plots import figures
from .record import CONFIG, REPORT, RESULTS, read_metrics


def report(run_dir: Path) -> Path:
    """Write ``report.html`` and ``plots/*.svg`` into a run folder; returns the page's path.

    Reads ``results.json``, ``metrics.jsonl`` and ``config.yaml`` only. A method that was not evaluated stands
    in the tables as *not run*.

    Raises:
        ConfigError: if the folder has no readable ``results.json``.
    """
    results = read_results(run_dir)
    drawn = figures(results, read_metrics(run_dir))
    for name, svg in drawn.items():
        write_text(run_dir / "plots" / f"{name}.svg", svg)
    config = run_dir / CONFIG
    text = page(
        _title(results),
        results,
        headline(results),
        drawn,
        _facts(results),
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


def _title(results: Mapping[str, Any]) -> str:
    return f"Improving networks in one forward pass: {results.get('recipe', 'a run')}"


def _facts(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was run, as (name, value)."""
    counts = results.get("num_networks") or {}
    facts = {
        "target networks": f"{results.get('activation', '?')} MLPs on {results.get('images', '?')}",
        "objective": f"{results.get('objective', '?')}, L1 weight {results.get('l1', 0)}",
        "networks": ", ".join(f"{count} {split}" for split, count in counts.items()),
        "seed": str(results.get("seed", "?")),
        "commit": str(results.get("commit") or "unknown"),
        "intervals": "95 %, bootstrap over networks, paired where a difference is shown",
    }
    return [(name, value) for name, value in facts.items() if value]
