"""Curves of training: scores on validation networks over steps, a line for each model."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._svg import BROKEN, METHODS, OURS, empty

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Metric = tuple[str, str, float]
"""Key of a line of the metrics, title of the panel, and what values are multiplied by."""


def curves(metrics: Sequence[Mapping[str, Any]], shown: Sequence[Metric], names: Mapping[str, str]) -> "Figure | None":
    """A panel for each metric, a line for each model; ``None`` if nothing was measured.

    Args:
        metrics: Lines with ``model`` and ``step``.
        shown: The panels.
        names: What the models are called.
    """
    if not metrics:
        return None
    models = list(dict.fromkeys(line["model"] for line in metrics if "model" in line))
    figure, panels = empty(8.0, 3.0, len(shown))
    for axes, (key, title, factor) in zip(panels, shown, strict=True):
        for place, model in enumerate(models):
            points = [(m["step"], factor * m[key]) for m in metrics if m.get("model") == model and key in m]
            if points:
                steps, values = zip(*points, strict=True)
                color, line = {0: (OURS, "-"), 1: (BROKEN, "--")}.get(place, (METHODS[place % len(METHODS)], ":"))
                axes.plot(steps, values, line, color=color, label=names.get(model, model), marker=".", markersize=5)
        axes.set_xlabel("step")
        axes.set_title(title, fontsize=10, loc="left")
    if panels[0].lines:
        panels[0].legend()
    return figure
