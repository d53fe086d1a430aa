"""Figures as SVG text that suits light and dark pages: text and axes use the colour of the page around them."""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#0a0b0c"
"""Stands for the page's own text colour until the figure is text."""

OURS, BROKEN, OTHER, GUIDE = "#1f77b4", "#d1711f", "#7f8790", "#9aa0a6"
METHODS = ("#c0392b", OTHER, OURS, "#2e8b57", BROKEN, "#8e5ea2", "#b8860b")
"""Colours: of a run's model, its symmetry-broken twin, other methods, guides; and of methods side by side."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GUIDE,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def drawn(name: str, draw: "Callable[[], Figure | None]") -> str | None:
    """SVG text of the figure that ``draw`` makes, in the common style; ``None`` if there is nothing to draw."""
    import matplotlib as mpl

    # Colours are read when a part is made and some parts are made when the figure is saved: style both.
    with mpl.rc_context(STYLE):
        figure = draw()
        return None if figure is None else _svg(figure, name)


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
    return text.replace(INK, "currentColor")


def empty(width: float, height: float, panels: int, down: int = 1) -> "tuple[Figure, list[Axes]]":
    """An empty figure of ``width`` x ``height`` inches, outside pyplot's global state: ``down`` lines of panels."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, [figure.add_subplot(down, panels, place + 1) for place in range(panels * down)]
