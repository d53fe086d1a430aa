"""A picture of a spec: a line for every neuron space, crossed by the layers that read and write it.

Layers are rows in the order of the spec, from the top down. Spaces are vertical lines from the first row that names
them to the last, so that a residual stream is one long line; spaces that share a permutation share a line.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from ..._errors import ConfigError
from ...files import atomic
from ...spec import Axis, Joined, NeuronSpace, SymmetrySpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GROUPS = {"trivial": "#7b5ea7", "sign": "#1f77b4", "positive": "#d1711f", "nonzero": "#2f8f5b"}
_FIXED, _INK, _QUIET = "#8a9199", "#22262a", "#6b737b"
_WORDS = {
    "fixed": _FIXED,
    "permuted": _GROUPS["trivial"],
    "permuted, signs": _GROUPS["sign"],
    "permuted, scales > 0": _GROUPS["positive"],
    "permuted, any scale": _GROUPS["nonzero"],
}
_ROW, _LANE, _FONT = 0.27, 0.24, 8.5  # inches, inches, points
_LETTER, _SMALL = 0.062, 0.054  # inches a letter, about, of text and of labels
_MOST_PIXELS = 60_000


@final
@dataclass(frozen=True)
class Layer:
    """One row: parameters of one module, the lines they read and write, and the spaces that they name first."""

    name: str
    text: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    new: tuple[NeuronSpace, ...]


def draw_spec(spec: SymmetrySpec, path: Path) -> None:
    """Write the picture of a spec.

    Args:
        spec: What to draw.
        path: A ``.svg`` or ``.png`` file.

    Raises:
        ConfigError: if the file has another suffix or cannot be written.
    """
    check_picture(path)
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = layers(spec)
    lane = lanes(spec, rows)
    left = _LANE * (max(lane.values(), default=0) + 2)
    names = left + _LETTER * max((len(row.name) for row in rows), default=0) + 0.2
    texts = names + _LETTER * max((len(row.text) for row in rows), default=0) + 0.2
    pills = max((sum(_pill_width(space) for space in row.new) for row in rows), default=0)
    width, height = max(texts + pills + 0.1, 7.8), _ROW * (len(rows) + 1.7)
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height / _ROW - 1.7, -1.7))
    axes.axis("off")
    _legend(axes)
    _lines(axes, spec, rows, lane)
    for y, row in enumerate(rows):
        _layer(axes, spec, row, lane, y)
        axes.text(left, y, row.name, fontsize=_FONT, va="center", color=_INK)
        axes.text(names, y, row.text, fontsize=_FONT, va="center", color=_QUIET)
        x = texts
        for space in row.new:
            _pill(axes, x, float(y), str(space), _color(space))
            x += _pill_width(space)
    picture = io.BytesIO()
    kind = path.suffix.removeprefix(".")
    # Without a date and with a salt, the same spec gives the same file.
    with mpl.rc_context({"svg.hashsalt": "spec", "svg.fonttype": "none"}):
        dpi = min(130.0, _MOST_PIXELS / max(width, height))
        figure.savefig(picture, format=kind, dpi=dpi, metadata={"Date": None} if kind == "svg" else None)
    atomic.write_bytes(path, picture.getvalue())


def check_picture(path: Path) -> None:
    """Refuses a name that is not that of a picture.

    Raises:
        ConfigError: if so.
    """
    if path.suffix not in (".svg", ".png"):
        raise ConfigError(f"{path} is no .svg or .png file. Type e.g. --draw {path.stem}.svg")


def layers(spec: SymmetrySpec) -> list[Layer]:
    """The rows of the picture: parameters with one name up to the last dot are a layer."""
    owned: dict[str, list[str]] = {}
    for name in spec.axes:
        if spec.axes[name]:  # counters have no axes
            owned.setdefault(name.rpartition(".")[0] or name, []).append(name)
    seen: set[str] = set()
    rows = []
    for owner, names in owned.items():
        parts = [part for name in names for axis in spec.axes[name] for part in axis.parts if part.space]
        reads, writes = _reads_and_writes(spec, names)
        named = {part.space for part in parts} | {scale.space for part in parts for scale in part.scales}
        around = {other for name in named if name for other in spec.ancestors(name)}
        new = tuple(s for s in spec.spaces if s.name in named | around and s.name not in seen)
        seen |= {space.name for space in new}
        rows.append(Layer(owner, ", ".join(_text(spec, name) for name in names), reads, writes, new))
    return rows


def lanes(spec: SymmetrySpec, rows: list[Layer]) -> dict[str, int]:
    """The place of each line from the left: the first one that is free from its first row to its last."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for y, row in enumerate(rows):
        for name in (*row.reads, *row.writes):
            first.setdefault(name, y)
            last[name] = y
    free_from: list[int] = []
    found: dict[str, int] = {}
    order = {space.name: place for place, space in enumerate(spec.spaces)}
    # Where several begin at once, the one that lasts longest lies outermost.
    for name in sorted(first, key=lambda name: (first[name], -last[name], order[name])):
        place = next((k for k, row in enumerate(free_from) if row <= first[name]), len(free_from))
        free_from[place : place + 1] = [last[name] + 1]
        found[name] = place
    return found


def _reads_and_writes(spec: SymmetrySpec, names: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    axes = [(axis, len(spec.axes[name]) == 1) for name in names for axis in spec.axes[name]]
    # An axis of fan-in carries inverse powers only. Keys carry the inverse of what queries do: joined with them, or in
    # a bias, or on the first of two axes with inverse powers, such an axis is written all the same.
    inverse = [all(part.power < 0 for part in axis.parts) and not alone for axis, alone in axes]
    if all(inverse):
        inverse[0] = False
    written, read = (
        _roots(
            spec,
            (
                part.space
                for (axis, _), is_in in zip(axes, inverse, strict=True)
                if is_in == which
                for part in axis.parts
            ),
        )
        for which in (False, True)
    )
    biases = _roots(spec, (part.space for axis, alone in axes if alone for part in axis.parts))
    keys = {name for name in biases if name not in _roots(spec, _forward(axes))}
    return tuple(name for name in read if name not in keys), written


def _forward(axes: list[tuple[Axis | Joined, bool]]) -> Iterable[str | None]:
    """Spaces that an axis carries with a power that is not inverse."""
    return (part.space for axis, _ in axes for part in axis.parts if part.power >= 0)


def _roots(spec: SymmetrySpec, names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(spec.root(name) for name in names if name))


def _text(spec: SymmetrySpec, name: str) -> str:
    shape = spec.shape(name)
    last = name.rpartition(".")[2]
    return f"{last} {'x'.join(map(str, shape))}" if len(shape) > 1 else last


def _color(space: NeuronSpace) -> str:
    return _FIXED if space.fixed else _GROUPS[space.scale]


def _x(lane: int) -> float:
    return _LANE * (lane + 0.8)


def _lines(axes: "Axes", spec: SymmetrySpec, rows: list[Layer], lane: dict[str, int]) -> None:
    """Every line in the colour of the space that it carries there."""
    for name, place in lane.items():
        touched = [y for y, row in enumerate(rows) if name in (*row.reads, *row.writes)]
        x, color, since = _x(place), _color(spec.space[name]), touched[0]
        for y in touched:
            # After a normalization the features carry scales of their own.
            later = [space for space in rows[y].new if space.like == name]
            if later:
                axes.plot((x, x), (since, y), color=color, linewidth=2.2, solid_capstyle="butt", zorder=1)
                color, since = _color(later[0]), y
        axes.plot((x, x), (since, touched[-1]), color=color, linewidth=2.2, solid_capstyle="butt", zorder=1)


def _layer(axes: "Axes", spec: SymmetrySpec, row: Layer, lane: dict[str, int], y: int) -> None:
    for source in row.reads:
        for target in row.writes:
            if lane[source] != lane[target]:
                axes.annotate(
                    "",
                    (_x(lane[target]), y),
                    (_x(lane[source]), y),
                    arrowprops={"arrowstyle": "-|>", "color": _INK, "linewidth": 0.9, "shrinkA": 3, "shrinkB": 4},
                    zorder=3,
                )
    # Read: an open ring; written: a full dot; both (a layer inside one space): a square.
    for name in dict.fromkeys((*row.reads, *row.writes)):
        mark = "s" if name in row.reads and name in row.writes else "o"
        color = _color(next((space for space in row.new if space.like == name), spec.space[name]))
        face = color if name in row.writes else "white"
        axes.plot(_x(lane[name]), y, mark, color=color, markerfacecolor=face, markersize=6.5, zorder=4)


def _legend(axes: "Axes") -> None:
    x = 0.15
    for word, color in _WORDS.items():
        _pill(axes, x, -1.05, word, color)
        x += _SMALL * len(word) + 0.25
    axes.text(x + 0.05, -1.05, "ring: read   dot: written", fontsize=_FONT, va="center", color=_QUIET)


def _pill_width(space: NeuronSpace) -> float:
    return _SMALL * len(str(space)) + 0.2


def _pill(axes: "Axes", x: float, y: float, text: str, color: str) -> None:
    box = {"boxstyle": "round,pad=0.25,rounding_size=0.5", "facecolor": color, "edgecolor": "none"}
    axes.text(x + 0.06, y, text, fontsize=_FONT - 1, va="center", color="white", bbox=box)
