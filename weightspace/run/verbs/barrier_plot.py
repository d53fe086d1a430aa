"""The figure of barriers: loss, and accuracy where it was measured, along the segments."""

from typing import TYPE_CHECKING

from ...plots import METHODS, drawn, empty
from ...tasks import Barriers

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def barrier_curves(found: Barriers) -> str:
    """SVG text: means along the segments, by method with 95 % bands."""
    svg = drawn("barriers", lambda: _draw(found))
    assert svg is not None, "there is always a method"
    return svg


def _draw(found: Barriers) -> "Figure":
    shown = [(False, "loss (nats)", 1)]
    if found.band(found.methods[0], accuracy=True) is not None:
        shown.append((True, "accuracy (%)", 100))
    figure, panels = empty(4.0 * len(shown), 3.0, len(shown))
    for axes, (accuracy, title, factor) in zip(panels, shown, strict=True):
        for place, method in enumerate(found.methods):
            band = found.band(method, accuracy=accuracy) or []
            places = [t for t, _ in band]
            color = METHODS[place % len(METHODS)]
            axes.plot(places, [factor * e.mean for _, e in band], color=color, label=method)
            low, high = [factor * e.low for _, e in band], [factor * e.high for _, e in band]
            axes.fill_between(places, low, high, color=color, alpha=0.2, linewidth=0)
        axes.set_xlabel("place on the segment")
        axes.set_title(title, fontsize=10, loc="left")
    panels[0].legend()
    return figure
