"""Image sets: gray, 8x8 or whole, as the zoos use them, or in colour; flattened, in [-1, 1]; labels as integers."""

import difflib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, final, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .._errors import ConfigError
from .targets import AbstractTarget

ImageSet = Literal["digits", "mnist", "fashion_mnist", "cifar10"]
"""Image sets by name; ``digits`` ships with scikit-learn, the others are parquet files."""

NATIVE: dict[str, tuple[int, bool]] = {
    "digits": (8, False),
    "mnist": (28, False),
    "fashion_mnist": (28, False),
    "cifar10": (32, True),
}
"""Pixels along a side of a set's own images, and whether they have colours."""

SIDE = 8
_BLOCK = 250
_SPLIT_SEED = 20251009  # fixed for good: every zoo and every table uses the same halves


@final
@dataclass(frozen=True)
class Images:
    """A classification set: flattened images in [-1, 1], row by row (colour by colour), and their labels.

    ``val`` and ``test`` are the two halves of the official test images: the first for every choice (filter,
    early stopping), the second for the final table only.
    """

    name: str
    num_classes: int
    train_x: Float[Tensor, "train i"]
    train_y: Int[Tensor, " train"]
    val_x: Float[Tensor, "val i"]
    val_y: Int[Tensor, " val"]
    test_x: Float[Tensor, "test i"]
    test_y: Int[Tensor, " test"]


def load_images(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    *,
    full_size: bool = False,
    colour: bool = False,
) -> Images:
    """The image set called ``name``, each image averaged to 8x8 cells.

    Args:
        name: One of ``digits``, ``mnist``, ``fashion_mnist``, ``cifar10``.
        data_dir: Folder that holds ``NAME/train.parquet`` and ``NAME/test.parquet`` with the columns
            ``image`` (struct with ``bytes``) and ``label``; default: the environment's ``WEIGHTSPACE_DATA``.
        progress: Called with images read, images in all, and a message.
        full_size: Keep the images' own size instead.
        colour: Keep size and colours: all reds row by row, then all greens, then all blues.

    Raises:
        ConfigError: unknown name, a file that is missing or cannot be read, or colours of a gray set.
    """
    known = get_args(ImageSet)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"unknown image set {name!r}.{hint} Choose one of: {', '.join(known)}.")
    if colour and not NATIVE[name][1]:
        raise ConfigError(f"the images of {name!r} are gray. Leave colour=True out, or choose cifar10.")
    if name == "digits":
        return _digits()
    folder = data_dir if data_dir is not None else os.environ.get("WEIGHTSPACE_DATA")
    if folder is None:
        raise ConfigError(
            f"the image set {name!r} is read from {name}/train.parquet in a data folder, and none was given. "
            "Add --data DIR or set WEIGHTSPACE_DATA=DIR; 'digits' needs no data."
        )
    tables = {part: _read_table(Path(folder) / name / f"{part}.parquet") for part in ("train", "test")}
    form = colours if colour else gray if full_size else gray_8x8
    total = sum(len(labels) for _, labels in tables.values())
    done = 0
    arrays: dict[str, np.ndarray] = {}
    for part, (encoded, _) in tables.items():
        blocks = []
        with ThreadPoolExecutor(max_workers=2) as pool:
            try:
                for block in pool.map(partial(_decode_block, form=form), _blocks(encoded)):
                    blocks.append(block)
                    done += len(block)
                    if progress is not None:
                        progress(done, total, f"reading {name}")
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"an image in {Path(folder) / name / part}.parquet cannot be decoded: {error}. "
                    "Fetch the file again."
                ) from error
        arrays[part] = np.concatenate(blocks)
    return _with_halves(name, arrays["train"], tables["train"][1], arrays["test"], tables["test"][1])


def images_of(
    target: AbstractTarget,
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Images:
    """The image set of that name in the size that the target reads: 8x8, or the images' own.

    Raises:
        ConfigError: if the images cannot be read, or come in no size that fits.
    """
    pixels, classes = target.sizes
    images = load_images(name, data_dir, progress, full_size=pixels != SIDE**2)
    if images.train_x.shape[1] != pixels or images.num_classes > classes:
        raise ConfigError(
            f"networks with {pixels} inputs and {classes} outputs cannot classify {name}, which has "
            f"{images.train_x.shape[1]} pixels and {images.num_classes} classes. Choose other --images, or other "
            "networks."
        )
    return images


def gray_8x8(pixels: np.ndarray) -> np.ndarray:
    """Images ``[n, h, w]`` or ``[n, h, w, channels]`` in [0, 255] as ``[n, 64]`` in [-1, 1].

    Gray is the mean over channels. Each of the 8x8 cells is the mean over the area it covers; pixels that lie
    across a border count by the part inside (28 pixels: 3.5 per cell).
    """
    total, channels = _channel_sum(pixels)
    rows, columns = _area_weights(total.shape[1]), _area_weights(total.shape[2])
    small = rows @ total @ columns.T
    return (small / (127.5 * channels) - 1).reshape(len(total), SIDE * SIDE).astype(np.float32)


def gray(pixels: np.ndarray) -> np.ndarray:
    """Images ``[n, h, w]`` or ``[n, h, w, channels]`` in [0, 255] as ``[n, h * w]`` in [-1, 1], the channels' mean."""
    total, channels = _channel_sum(pixels)
    return (total / np.float32(127.5 * channels) - 1).reshape(len(total), -1)


def colours(pixels: np.ndarray) -> np.ndarray:
    """Images ``[n, h, w, channels]`` in [0, 255] as ``[n, channels * h * w]`` in [-1, 1], channel by channel."""
    planes = np.moveaxis(pixels, 3, 1).astype(np.float32)
    return (planes / np.float32(127.5) - 1).reshape(len(planes), -1)


def _channel_sum(pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """Float32 sum over the channels, and their number."""
    planes = [pixels[..., channel] for channel in range(pixels.shape[3])] if pixels.ndim == 4 else [pixels]
    # Plane by plane is ten times faster than a sum over the last axis, and still exact.
    total = planes[0].astype(np.float32)
    for plane in planes[1:]:
        total += plane
    return total, len(planes)


def _area_weights(size: int) -> np.ndarray:
    """``[8, size]``: share of each pixel in each cell; rows sum to 1."""
    edges = np.arange(SIDE + 1) * size / SIDE
    pixel = np.arange(size)
    inside = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.clip(inside, 0, None) * SIDE / size).astype(np.float32)


def _digits() -> Images:
    from sklearn.datasets import load_digits

    data, target = load_digits(return_X_y=True)
    pixels, labels = np.asarray(data, np.float32) / 8 - 1, np.asarray(target, np.int64)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))
    train, rest = order[:1200], order[1200:]
    return _with_halves("digits", pixels[train], labels[train], pixels[rest], labels[rest])


def _with_halves(name: str, train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> Images:
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(test_y))
    val, test = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    return Images(
        name=name,
        num_classes=int(max(train_y.max(), test_y.max())) + 1,
        train_x=torch.from_numpy(train_x),
        train_y=torch.from_numpy(train_y),
        val_x=torch.from_numpy(test_x[val]),
        val_y=torch.from_numpy(test_y[val]),
        test_x=torch.from_numpy(test_x[test]),
        test_y=torch.from_numpy(test_y[test]),
    )


def _read_table(path: Path) -> tuple[Any, np.ndarray]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise ConfigError(
            f"image file {path} does not exist. Give the folder that holds {path.parent.name}/{path.name} "
            "with --data DIR or WEIGHTSPACE_DATA=DIR."
        )
    try:
        table = pq.read_table(path, columns=["image", "label"])
        encoded = table.column("image").combine_chunks().field("bytes")
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ConfigError(
            f"image file {path} cannot be read as a table with the columns image (struct with bytes) and label: "
            f"{error}. Fetch the file again."
        ) from error
    return encoded, table.column("label").to_numpy().astype(np.int64)


def _blocks(encoded: Any) -> list[Any]:
    return [encoded.slice(start, _BLOCK) for start in range(0, len(encoded), _BLOCK)]


def _decode_block(encoded: Any, form: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    from PIL import Image

    return form(np.stack([np.asarray(Image.open(io.BytesIO(item.as_py()))) for item in encoded]))
