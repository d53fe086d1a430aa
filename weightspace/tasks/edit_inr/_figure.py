"""Pictures of some networks: kept with the results as text, drawn side by side in the report."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...plots import drawn
from .._table import is_done, label
from .edits import Images

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def strip(pictures: Images) -> str:
    """The pictures side by side as a PNG, in base 64."""
    return base64.b64encode(png(pictures)).decode()


def png(pictures: Images) -> bytes:
    """The pictures side by side as a PNG; intensities are cut to [0, 1]."""
    from PIL import Image

    pixels = pictures.clamp(0, 1).mul(255).round().byte().permute(2, 0, 3, 1).flatten(1, 2).numpy()
    found = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(found, format="png", optimize=True)
    return found.getvalue()


def sheet(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """SVG text: the goals, and below them what each method shows; ``None`` before there is any."""
    done = [row for row in rows if is_done(row)]
    return drawn("edits", lambda: _draw(done)) if done else None


def _draw(rows: Sequence[Mapping[str, Any]]) -> "Figure":
    from matplotlib.figure import Figure

    lines = [("goal", rows[0]["goal"]), *((label(row), row["shown"]) for row in rows)]
    figure = Figure(figsize=(8.0, 0.85 * len(lines)), layout="constrained")
    for axes, (name, text) in zip(np.ravel(figure.subplots(len(lines), 1, squeeze=False)), lines, strict=True):
        axes.imshow(_pixels(text), cmap="gray", vmin=0, vmax=255)
        axes.set(xticks=[], yticks=[])
        axes.set_title(name, fontsize=8, loc="left", pad=2)
    return figure


def _pixels(text: str) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
