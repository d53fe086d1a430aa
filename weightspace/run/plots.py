"""Figures as SVG text: validation curves, accuracies as box plots, before against after, barriers.

Figures take what was read from the folder's files and return ``None`` where there is nothing to draw. Text and
axes use the colour of the page around them, so one file suits light and dark pages.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..tasks import Barriers
from ._tables import Row, is_done, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#0a0b0c"
"""Stands for the page's own text colour until the figure is text."""

_OURS, _BROKEN, _OTHER, _GUIDE = "#1f77b4", "#d1711f", "#7f8790", "#9aa0a6"
_METHODS = ("#c0392b", _OTHER, _OURS, "#2e8b57", _BROKEN, "#8e5ea2", "#b8860b")
_NAMES = {"ours": "operator", "broken": "symmetry-broken twin"}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _GUIDE,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def figures(results: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """SVG text by name (``curves``, ``accuracies``, ``before_after``), those that can be drawn."""
    import matplotlib as mpl

    # Colours are read when a part is made and some parts are made when the figure is saved: style both.
    with mpl.rc_context(_STYLE):
        drawn = {
            "curves": curves(metrics),
            "accuracies": accuracies(results["rows"]),
            "before_after": before_after(results["rows"]),
        }
        return {name: _svg(figure, name) for name, figure in drawn.items() if figure is not None}


def curves(metrics: Sequence[Mapping[str, Any]]) -> "Figure | None":
    """Validation loss and accuracy over training steps, of the symmetric and the symmetry-broken model."""
    if not metrics:
        return None
    figure, panels = _figure(8.0, 3.0, 2)
    for axes, key, title, factor in zip(
        panels, ("val_loss", "val_accuracy"), ("validation loss", "validation accuracy (%)"), (1, 100), strict=True
    ):
        for model, color, line in (("ours", _OURS, "-"), ("broken", _BROKEN, "--")):
            points = [(m["step"], factor * m[key]) for m in metrics if m.get("model") == model and key in m]
            if points:
                steps, values = zip(*points, strict=True)
                axes.plot(steps, values, line, color=color, label=_NAMES[model], marker=".", markersize=5)
        axes.set_xlabel("step")
        axes.set_title(title, fontsize=10, loc="left")
    if panels[0].lines:
        panels[0].legend()
    return figure


def accuracies(rows: Sequence[Row]) -> "Figure | None":
    """Accuracies of the test networks, one box a method: half of them in the box, whiskers at 5 and 95 %.

    Source: Figure 5 of arXiv:2510.08300, which shows inputs, outputs and SGD.
    """
    shown = [row for row in rows if _scores(row)]
    if not shown:
        return None
    figure, (axes,) = _figure(8.0, 0.9 + 0.38 * len(shown), 1)
    boxes = axes.boxplot(
        [[100 * value for value in _scores(row)] for row in shown],
        orientation="horizontal",
        whis=(5, 95),
        widths=0.6,
        patch_artist=True,
        tick_labels=[label(row) for row in shown],
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": _GUIDE},
        medianprops={"color": _INK, "linewidth": 1.4},
        whiskerprops={"color": _INK},
        capprops={"color": _INK},
    )
    for row, box in zip(shown, boxes["boxes"], strict=True):
        box.set(facecolor=_color(row), alpha=0.6, edgecolor=_INK)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("test accuracy (%)")
    return figure


def before_after(rows: Sequence[Row]) -> "Figure | None":
    """Accuracy of every test network before and after the operator; above the diagonal it improved."""
    by_method = {row["method"]: row for row in rows}
    before, after = (_scores(by_method.get(name)) for name in ("input", "ours"))
    if not before or len(before) != len(after):
        return None
    figure, (axes,) = _figure(4.6, 4.4, 1)
    middle = 100 * sum(before) / len(before)
    axes.axline((middle, middle), slope=1, color=_GUIDE, linewidth=1)
    constant = _scores(by_method.get("constant"))
    if constant:
        level = 100 * sum(constant) / len(constant)
        axes.axhline(level, color=_OTHER, linewidth=1.2, linestyle="--", label="constant output")
    axes.plot([100 * v for v in before], [100 * v for v in after], ".", color=_OURS, alpha=0.7, label="operator")
    axes.set_xlabel("accuracy before (%)")
    axes.set_ylabel("accuracy after (%)")
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.14), ncols=2, borderpad=0)
    return figure


def barrier_curves(found: Barriers) -> str:
    """SVG text: mean loss, and accuracy where it was measured, along the segments, by method with 95 % bands."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        shown = [(False, "loss (nats)", 1)]
        if found.band(found.methods[0], accuracy=True) is not None:
            shown.append((True, "accuracy (%)", 100))
        figure, panels = _figure(4.0 * len(shown), 3.0, len(shown))
        for axes, (accuracy, title, factor) in zip(panels, shown, strict=True):
            for place, method in enumerate(found.methods):
                band = found.band(method, accuracy=accuracy) or []
                places = [t for t, _ in band]
                color = _METHODS[place % len(_METHODS)]
                axes.plot(places, [factor * e.mean for _, e in band], color=color, label=method)
                low, high = [factor * e.low for _, e in band], [factor * e.high for _, e in band]
                axes.fill_between(places, low, high, color=color, alpha=0.2, linewidth=0)
            axes.set_xlabel("place on the segment")
            axes.set_title(title, fontsize=10, loc="left")
        panels[0].legend()
        return _svg(figure, "barriers")


def _svg(figure: "Figure", name: str) -> str:
    """The figure as one ``<svg>`` element whose ids start with ``name``, in the page's own text colour."""
    import matplotlib as mpl

    buffer = io.StringIO()
    # A salt makes the ids of clip paths, and with them the file, the same on every run.
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # The style element would reach the whole page that the figure stands in.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    return text.replace(_INK, "currentColor")


def _figure(width: float, height: float, panels: int, down: int = 1) -> "tuple[Figure, list[Axes]]":
    """An empty figure of ``width`` x ``height`` inches, outside pyplot's global state: ``down`` lines of panels."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, [figure.add_subplot(down, panels, place + 1) for place in range(panels * down)]


def _scores(row: Row | None) -> list[float]:
    return (row.get("per_network_accuracy") or []) if row is not None and is_done(row) else []


def _color(row: Row) -> str:
    return {"ours": _OURS, "broken": _BROKEN}.get(row["method"], _OTHER)
