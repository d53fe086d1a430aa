"""A sheet of what networks of a zoo compute: the images that INRs are, or what classifiers say of the same images."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..._errors import ConfigError
from ..._types import Progress
from ...files import atomic
from ...zoo import NATIVE, UNKNOWN, ImportedConfig, SirenTarget, Zoo, images_of
from .draw_spec import check_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSIFIED = 200
"""Images that classifiers are shown with."""

_SIDE = 28


def draw_zoo(
    zoo: Zoo,
    path: Path,
    *,
    num: int = 64,
    data_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> int:
    """Number of networks drawn; they are evenly spaced over the zoo, in order of their class or their accuracy.

    INRs are rendered, each with its label and its PSNR (dB). Of classifiers there is a row each, a column for every one
    of 200 test images in the order of their classes, in the colour of the class that is predicted; the first row is the
    truth.

    Args:
        zoo: An open zoo.
        path: A ``.png`` or ``.svg`` file.
        num: Networks at most.
        data_dir: Folder of the image sets, for classifiers.
        progress: Called while images are read.

    Raises:
        ConfigError: if the file has another ending or cannot be written, or the images cannot be read or are not known.
        ZooError: if the zoo is damaged.
    """
    check_picture(path)
    import matplotlib as mpl

    rows = np.unique(np.linspace(0, len(zoo) - 1, min(num, len(zoo))).round().astype(int))
    inrs = isinstance(zoo.config.target, SirenTarget)
    score = _score(zoo)
    rows = rows[np.argsort(zoo.rows[score][rows], kind="stable")]
    if inrs:
        psnr = zoo.rows.get("psnr")
        titles = [f"{zoo.rows[score][row]}" + (f"   {psnr[row]:.1f} dB" if psnr is not None else "") for row in rows]
        figure = _pictures(rendered(zoo, rows), titles)
    else:
        figure = _answers(*predictions(zoo, rows, data_dir, progress), zoo.rows[score][rows])
    found, kind = io.BytesIO(), path.suffix.removeprefix(".")
    # Without a date and with a salt, the same networks give the same file.
    with mpl.rc_context({"svg.hashsalt": "zoo"}):
        figure.savefig(found, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)
    atomic.write_bytes(path, found.getvalue())
    return len(rows)


def _score(zoo: Zoo) -> str:
    """The column by which networks are put in order."""
    inrs = isinstance(zoo.config.target, SirenTarget)
    known = ("label",) if inrs else ("val_accuracy", "test_accuracy")
    found = next((name for name in known if name in zoo.rows), None)
    if found is None or (not inrs and zoo.config.images == UNKNOWN):
        what = f"no column {' or '.join(known)}" if found is None else "no name of its images"
        raise ConfigError(
            f"the zoo {zoo.path} has {what} (it holds networks of the kind {zoo.config.target.kind!r}), so there is "
            f"nothing to draw. What it holds: weightspace zoo info {zoo.path}"
        )
    return found


def rendered(zoo: Zoo, rows: Int[np.ndarray, " b"]) -> Float[Tensor, "b c h h"]:
    """The images that INRs of a zoo are, rows first, black at 0 and white at 1.

    Raises:
        ConfigError: if the networks are no INRs.
    """
    if not isinstance(zoo.config.target, SirenTarget):
        raise ConfigError(f"the networks of {zoo.path} ({zoo.config.target.kind}) are no images. Name a zoo of INRs.")
    shown = zoo.config.target.pictures(zoo.load(rows), NATIVE.get(zoo.config.images, (_SIDE, False))[0])
    if not isinstance(zoo.config, ImportedConfig):
        return shown
    black, white = zoo.config.intensities
    return ((shown.mT if zoo.config.rows_first else shown) - black) / (white - black)


def predictions(
    zoo: Zoo,
    rows: Int[np.ndarray, " b"],
    data_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> tuple[Int[Tensor, "b i"], Int[Tensor, " i"]]:
    """The classes that classifiers of a zoo predict for some test images, and the right ones, in their order."""
    images = images_of(zoo.config.target, zoo.config.images, data_dir, progress)
    some = torch.linspace(0, len(images.test_y) - 1, CLASSIFIED).round().long()
    some = some[images.test_y[some].argsort(stable=True)]
    with torch.no_grad():
        parts = [zoo.config.target.forward(zoo.load(part), images.test_x[some]).argmax(-1) for part in _parts(rows)]
    return torch.cat(parts), images.test_y[some]


def _parts(rows: Int[np.ndarray, " b"]) -> list[np.ndarray]:
    return np.array_split(rows, -(-len(rows) // 16))


def _pictures(shown: Float[Tensor, "b c h h"], titles: list[str]) -> "Figure":
    from matplotlib.figure import Figure

    across = max(1, round(len(shown) ** 0.5))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(1.05 * across, 1.2 * down), facecolor="white", layout="constrained")
    for place, axes in enumerate(np.ravel(figure.subplots(down, across, squeeze=False))):
        axes.axis("off")
        if place < len(shown):
            picture = shown[place].clamp(0, 1).permute(1, 2, 0).numpy()
            axes.imshow(picture if len(shown[place]) == 3 else picture[..., 0], cmap="gray", vmin=0, vmax=1)
            axes.set_title(titles[place], fontsize=7, pad=2)
    return figure


def _answers(predicted: Int[Tensor, "b i"], right: Int[Tensor, " i"], accuracies: Float[np.ndarray, " b"]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 1.2 + 0.11 * len(predicted)), facecolor="white", layout="constrained")
    truth, axes = figure.subplots(2, 1, sharex=True, height_ratios=(1, max(6, len(predicted))))
    colours = {"cmap": "tab10" if int(right.max()) < 10 else "tab20", "vmin": -0.5, "aspect": "auto"}
    colours |= {"vmax": 9.5 if int(right.max()) < 10 else 19.5, "interpolation": "nearest"}
    truth.imshow(right.unsqueeze(0).numpy(), **colours)
    truth.set(yticks=[0], yticklabels=["truth"])
    seen = axes.imshow(predicted.numpy(), **colours)
    places = np.unique(np.linspace(0, len(predicted) - 1, 6).round().astype(int))
    axes.set(yticks=places, yticklabels=[f"{100 * accuracies[place]:.0f} %" for place in places])
    axes.set(xlabel="test images, by class", ylabel="networks, by validation accuracy")
    figure.colorbar(seen, ax=[truth, axes], label="class", ticks=range(int(right.max()) + 1))
    return figure
