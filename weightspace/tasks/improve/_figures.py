"""Figures of improved networks: accuracies of every method, and every network before and after."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...plots import BROKEN, GUIDE, OTHER, OURS, Box, boxes, drawn, empty
from .._table import Row, is_done, label

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures(results: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    """By name (``accuracies``, ``before_after``): title, caption and SVG text, of those that can be drawn."""
    rows: Sequence[Row] = results["rows"]
    shown = {
        "accuracies": (
            "Before, after, and the controls",
            "Accuracies of the unseen networks on the final half of the test images: box from 25 to 75 %, line at "
            "the median, whiskers at 5 and 95 %.",
            drawn("accuracies", lambda: _accuracies(rows)),
        ),
        "before_after": (
            "Network by network",
            "Each point is one unseen network. Above the diagonal the operator improved it; points on a horizontal "
            "line mean that the output hardly depends on the input.",
            drawn("before_after", lambda: _before_after(rows)),
        ),
    }
    return {name: (title, caption, svg) for name, (title, caption, svg) in shown.items() if svg is not None}


def _accuracies(rows: Sequence[Row]) -> "Figure | None":
    """Source: Figure 5 of arXiv:2510.08300, which shows inputs, outputs and SGD."""
    shown = [Box(label(row), [100 * v for v in _scores(row)], _color(row)) for row in rows if _scores(row)]
    return boxes(shown, "test accuracy (%)")


def _before_after(rows: Sequence[Row]) -> "Figure | None":
    """Accuracy of every test network before and after the operator; above the diagonal it improved."""
    by_method = {row["method"]: row for row in rows}
    before, after = (_scores(by_method.get(name)) for name in ("input", "ours"))
    if not before or len(before) != len(after):
        return None
    figure, (axes,) = empty(4.6, 4.4, 1)
    middle = 100 * sum(before) / len(before)
    axes.axline((middle, middle), slope=1, color=GUIDE, linewidth=1)
    constant = _scores(by_method.get("constant"))
    if constant:
        level = 100 * sum(constant) / len(constant)
        axes.axhline(level, color=OTHER, linewidth=1.2, linestyle="--", label="constant output")
    axes.plot([100 * v for v in before], [100 * v for v in after], ".", color=OURS, alpha=0.7, label="operator")
    axes.set_xlabel("accuracy before (%)")
    axes.set_ylabel("accuracy after (%)")
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.14), ncols=2, borderpad=0)
    return figure


def _scores(row: Row | None) -> list[float]:
    return (row.get("per_network_accuracy") or []) if row is not None and is_done(row) else []


def _color(row: Row) -> str:
    return {"ours": OURS, "broken": BROKEN}.get(row["method"], OTHER)
