"""Barriers of many pairs as files: a row for each pair and method, and a row for each place on each segment."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...files import atomic
from ...tasks import Barriers
from .barrier_plot import barrier_curves

PAIRS = "barriers.csv"
CURVES = "barrier_curves.csv"
FIGURE = "barriers.svg"


def write_barriers(folder: Path, found: Barriers) -> list[Path]:
    """The files written: ``barriers.csv`` (loss in nats, accuracy a fraction), ``barrier_curves.csv`` and a figure.

    Raises:
        ConfigError: if the folder cannot be written; each file is whole or absent.
    """
    worse = found.worse_than_naive()
    rows = [row.row() | {"worse_than_naive": row in worse} for row in found.rows]
    places = [
        (row.pair, row.method, t, loss, None if row.curve.accuracy is None else float(row.curve.accuracy[place]))
        for row in found.rows
        for place, (t, loss) in enumerate(zip(row.curve.t.tolist(), row.curve.loss.tolist(), strict=True))
    ]
    if folder.is_dir():
        atomic.remove_leftovers(folder)
    atomic.write_text(folder / PAIRS, _csv(list(rows[0]), (row.values() for row in rows)))
    atomic.write_text(folder / CURVES, _csv(["pair", "method", "t", "loss", "accuracy"], places))
    atomic.write_text(folder / FIGURE, barrier_curves(found))
    return [folder / name for name in (PAIRS, CURVES, FIGURE)]


def _csv(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
