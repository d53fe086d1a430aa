"""A run's folder: everything written whole or not at all, and read with errors a user can act on."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .._errors import ConfigError
from ..files.atomic import write_text
from ._commit import commit as commit

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
SPEC = "spec.txt"
METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint.safetensors"
RESUME = "resume.safetensors"
RESULTS = "results.json"
TABLE = "results.md"
CELLS = "cells"
ZOO = "zoo-fingerprint.json"
REPORT = "report.html"
FILES = (CONFIG, ENVIRONMENT, SPEC, METRICS, CHECKPOINT, RESUME, RESULTS, TABLE, ZOO, REPORT)
"""All that lies in the folder itself."""


def append_metrics(folder: Path, line: Mapping[str, Any]) -> None:
    """Add one line to ``metrics.jsonl``."""
    try:
        with (folder / METRICS).open("a") as file:
            file.write(json.dumps(dict(line)) + "\n")
    except OSError as error:
        raise ConfigError(
            f"cannot write {folder / METRICS}: {error.strerror or error}. "
            "Free some space or choose another place with --out DIR."
        ) from error


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of ``metrics.jsonl``."""
    lines: list[dict[str, Any]] = []
    path = folder / METRICS
    for text in path.read_text().splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            # The last line of a killed run may be cut; it is written again on resuming.
            continue
    return lines


def keep_metrics(folder: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Drop the lines that a resumed run will write again."""
    lines = [line for line in read_metrics(folder) if keep(line)]
    write_text(folder / METRICS, "".join(json.dumps(line) + "\n" for line in lines))
