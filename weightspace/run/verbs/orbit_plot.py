"""The figure of an orbit experiment: mean and standard deviation along the segments, panel by panel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ...plots import drawn, empty
from .orbit_rows import PanelRows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = {"naive": "#c0392b", "linear assignment": "#17a2b8", "ours": "#1f3a93"}
_ACROSS = 3


def orbit_figure(panels: Sequence[PanelRows]) -> str:
    """SVG text: a panel for each kind of copies and noise; the bands are population standard deviations over pairs.

    Source: the layout of Figs. 3 and 7 of arXiv:2511.12601.
    """
    svg = drawn("orbits", lambda: _draw(panels))
    assert svg is not None, "there is always a panel"
    return svg


def _draw(panels: Sequence[PanelRows]) -> "Figure":
    shown = [(rows, accuracy) for accuracy in (False, True) for rows in panels if not accuracy or _measured(rows)]
    across = min(_ACROSS, len(panels)) if len(shown) == len(panels) else len(panels)
    down = -(-len(shown) // across)
    figure, axes = empty(3.4 * across, 2.6 * down, across, down)
    for place, (panel, (rows, accuracy)) in enumerate(zip(axes, shown, strict=False)):
        for method, found in rows.curves.items():
            values: Tensor | None = found.accuracy if accuracy else found.loss
            assert values is not None, "chosen above"
            mean, spread = values.mean(0), values.std(0, correction=0)
            color = _COLORS[method]
            panel.plot(rows.t.tolist(), mean.tolist(), color=color, label=method)
            low, high = (mean - spread).tolist(), (mean + spread).tolist()
            panel.fill_between(rows.t.tolist(), low, high, color=color, alpha=0.18, linewidth=0)
        noise = f"noise {rows.panel.sigma:g}" if rows.panel.sigma else "no noise"
        title = f"{rows.panel.name}: {rows.panel.kind}, {noise}{', accuracy' if accuracy else ''}"
        panel.set_title(title, fontsize=10, loc="left")
        if place % across == 0:
            panel.set_ylabel("accuracy" if accuracy else "loss")
        if place >= len(shown) - across:
            panel.set_xlabel("place on the segment")
    for panel in axes[len(shown) :]:
        panel.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _measured(rows: PanelRows) -> bool:
    return all(found.accuracy is not None for found in rows.curves.values())
