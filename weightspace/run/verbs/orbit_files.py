"""Tables, figure and summary of an orbit experiment, made from its rows alone."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...files import atomic
from .. import record
from ..environment import environment
from .barriers import _csv
from .orbit_config import OrbitRun
from .orbit_plot import orbit_figure
from .orbit_rows import PanelRows

CURVES = "curves.csv"
NETWORKS = "networks.csv"
FIGURE = "orbits.svg"


def write_orbit_files(folder: Path, config: OrbitRun, panels: Sequence[PanelRows], zoo: dict[str, Any]) -> list[Path]:
    """The files written: curves (mean and population standard deviation over pairs), networks, figure, summary.

    Args:
        folder: Where; the rows lie in ``panels/`` there.
        config: The experiment.
        panels: Its rows.
        zoo: What to say about the zoo in the summary.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    measured = panels[0].curves[config.methods[0]].accuracy is not None
    more = ["accuracy_mean", "accuracy_std"] if measured else []
    header = ["panel", "kind", "sigma", "method", "t", "mean", "std", *more]
    atomic.write_text(folder / CURVES, _csv(header, _curves(panels)))
    header = ["panel", "network", "method", "own", "midpoint", "in_place", "pairs"]
    atomic.write_text(folder / NETWORKS, _csv(header, _networks(panels)))
    atomic.write_text(folder / FIGURE, orbit_figure(panels))
    files = {f"panels/{rows.panel.name}.npz": folder / "panels" / f"{rows.panel.name}.npz" for rows in panels}
    summary = {
        "config": config.model_dump(mode="json"),
        "zoo": zoo,
        "panels": {rows.panel.name: {method: summarized(rows, method) for method in rows.curves} for rows in panels},
        "rows_sha256": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()},
        "environment": environment(),
    }
    atomic.write_json(folder / record.RESULTS, summary)
    return [folder / name for name in (CURVES, NETWORKS, FIGURE, record.RESULTS)]


def summarized(rows: PanelRows, method: str) -> dict[str, float]:
    """Ends, midpoint (mean and population standard deviation), share brought back in place, change of the ends."""
    found = rows.curves[method]
    middle = rows.middle(method)
    summary = {
        "own": float(rows.own.mean()),
        "first": float(found.loss[:, 0].mean()),
        "midpoint": float(middle.mean()),
        "midpoint_std": float(middle.std()),
        "last": float(found.loss[:, -1].mean()),
        "in_place": float(found.in_place.double().mean()),
        "end_change": rows.end_change(method),
    }
    if found.accuracy is not None:
        summary["first_accuracy"] = float(found.accuracy[:, 0].mean())
        summary["midpoint_accuracy"] = float(rows.middle(method, accuracy=True).mean())
        summary["last_accuracy"] = float(found.accuracy[:, -1].mean())
    return summary


def _curves(panels: Sequence[PanelRows]) -> Iterator[tuple[object, ...]]:
    for rows in panels:
        for method, found in rows.curves.items():
            values = [found.loss, *([] if found.accuracy is None else [found.accuracy])]
            columns = [part for value in values for part in (value.mean(0), value.std(0, correction=0))]
            for t, *row in zip(rows.t.tolist(), *(column.tolist() for column in columns), strict=True):
                yield (rows.panel.name, rows.panel.kind, rows.panel.sigma, method, f"{t:.6f}", *map(_short, row))


def _networks(panels: Sequence[PanelRows]) -> Iterator[tuple[object, ...]]:
    for rows in panels:
        order = np.unique(rows.network.numpy())
        for method, found in rows.curves.items():
            middle, back = rows.middle(method), found.in_place.double().numpy()
            for network in order:
                its = rows.network.numpy() == network
                own = float(rows.own.numpy()[its][0])
                numbers = (_short(own), _short(middle[its].mean()), _short(back[its].mean()), int(its.sum()))
                yield (rows.panel.name, int(network), method, *numbers)


def _short(value: float) -> str:
    return f"{value:.6g}"
