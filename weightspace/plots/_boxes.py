"""A box for each method: how its numbers spread over networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from ._svg import GUIDE, INK, OTHER, empty

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
@dataclass(frozen=True)
class Box:
    """A label, the numbers behind the box, and its colour."""

    label: str
    values: Sequence[float]
    color: str = OTHER


def boxes(shown: Sequence[Box], axis: str) -> "Figure | None":
    """One box a line, the first on top: half of the numbers in the box, whiskers at 5 and 95 %."""
    if not shown:
        return None
    figure, (axes,) = empty(8.0, 0.9 + 0.38 * len(shown), 1)
    found = axes.boxplot(
        [list(box.values) for box in shown],
        orientation="horizontal",
        whis=(5, 95),
        widths=0.6,
        patch_artist=True,
        tick_labels=[box.label for box in shown],
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": GUIDE},
        medianprops={"color": INK, "linewidth": 1.4},
        whiskerprops={"color": INK},
        capprops={"color": INK},
    )
    for box, patch in zip(shown, found["boxes"], strict=True):
        patch.set(facecolor=box.color, alpha=0.6, edgecolor=INK)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(axis)
    return figure
