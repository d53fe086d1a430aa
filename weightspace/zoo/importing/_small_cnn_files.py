"""Files of the Small CNN Zoo: layout, scores, and the rows of numbers that networks are.

Parameters are named as ours, and turned to the order that torch has, when they are read.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float

from ..._errors import ConfigError, SpecMismatch
from ..._types import Params
from ._collection import Columns

FILES = ("weights.npy", "metrics.csv.gz", "layout.csv")
SCORES = ("test_accuracy", "test_loss", "train_accuracy", "train_loss")
AGAIN = "Unpack the archive again."
_LAYERS = {"conv2d": "convs.0", "conv2d_1": "convs.1", "conv2d_2": "convs.2", "dense": "head"}
_ROLES = {"kernel": "weight", "bias": "bias"}


@final
@dataclass(frozen=True)
class Entry:
    """Where a parameter lies in a row."""

    name: str
    start: int
    stop: int
    shape: tuple[int, ...]


def read_layout(path: Path) -> list[Entry]:
    """Parameters under our names, in the order of a row.

    Raises:
        ConfigError: if it is no such table, or parameters are missing or do not follow each other.
    """
    try:
        with path.open(newline="") as file:
            return _entries(list(csv.DictReader(file)))
    except (OSError, ValueError, KeyError, AttributeError, TypeError, csv.Error) as error:
        raise ConfigError(
            f"{path} is no layout of the Small CNN Zoo ({type(error).__name__}: {error}). {AGAIN}"
        ) from error


def _entries(lines: list[dict[str, str]]) -> list[Entry]:
    """Parameters one after the other.

    Raises:
        ValueError: if they are not (and others, if something is no number or has another name).
    """
    entries, end = [], 0
    for line in lines:
        layer, _, role = line["varname"].removeprefix("sequential/").partition(":")[0].partition("/")
        shape = tuple(int(size) for size in line["shape"].strip("() ").split(",") if size.strip())
        start, stop = int(line["start_idx"]), int(line["end_idx"])
        if start != end or stop - start != math.prod(shape):
            raise ValueError(f"{line['varname']} lies from {start} to {stop}, after {end}, with shape {shape}")
        entries.append(Entry(f"{_LAYERS[layer]}.{_ROLES[role]}", start, stop, shape))
        end = stop
    names = [entry.name for entry in entries]
    want = [f"{layer}.{role}" for layer in _LAYERS.values() for role in _ROLES.values()]
    if sorted(names) != sorted(want):
        raise ValueError(f"it lists {', '.join(names)}")
    return entries


def read_metrics(path: Path) -> dict[str, np.ndarray]:
    """Columns of scores and settings; a value for each row of the weights.

    Raises:
        ConfigError: if the file cannot be read, or lacks a step, an activation or a score.
    """
    import pyarrow as pa
    from pyarrow import csv as tables

    try:
        table = tables.read_csv(path)
    except (OSError, EOFError, pa.ArrowException) as error:
        raise ConfigError(f"{path} cannot be read: {error}. {AGAIN}") from error
    missing = [key for key in ("step", "config.activation", *SCORES) if key not in table.column_names]
    if missing:
        raise ConfigError(f"{path} has no column {missing[0]!r}: it has {', '.join(table.column_names)}. {AGAIN}")
    found = {key: table.column(key).to_numpy() for key in table.column_names if key != "modeldir"}
    for key in ("step", *SCORES):
        if found[key].dtype.kind not in "if" or (key == "step" and not np.isfinite(found[key]).all()):
            raise ConfigError(f"{path}: not every entry of its column {key!r} is a number. {AGAIN}")
    return found | {"step": found["step"].astype(np.int64)}


def rows_of(path: Path, layout: list[Entry]) -> Float[np.ndarray, "r w"]:
    """The networks, mapped from the file.

    Raises:
        ConfigError: if it is cut short.
        SpecMismatch: if rows have another length than the layout says.
    """
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. It is cut short or damaged. {AGAIN}") from error
    if found.ndim != 2 or found.shape[1] != layout[-1].stop or found.dtype.kind != "f":
        raise SpecMismatch(
            f"{path} holds numbers of type {found.dtype} with shape {list(found.shape)}, its layout says "
            f"[networks, {layout[-1].stop}] of floating point. {AGAIN}"
        )
    return found


def turned(entry: Entry) -> tuple[int, ...]:
    """Axes in the order of torch: kernels are (height, width, in, out) there, matrices (in, out)."""
    return {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[len(entry.shape)]


def read_rows(path: Path, layout: list[Entry], rows: np.ndarray, places: range) -> tuple[Params, Columns]:
    """Stacked parameters of the networks at some places of the chosen rows; no further columns.

    Raises:
        SpecMismatch: naming the row that is not finite.
    """
    chosen = rows[places.start : places.stop]
    # Mapped anew for each shard: pages that were read are then given back.
    values = rows_of(path, layout)[chosen].astype(np.float32)
    finite = np.isfinite(values).all(1)
    if not finite.all():
        raise SpecMismatch(
            f"{path}: row {chosen[int(finite.argmin())]} holds values that are not finite numbers (NaN or infinity). "
            f"{AGAIN}"
        )
    params: Params = {}
    for entry in layout:
        value = torch.from_numpy(values[:, entry.start : entry.stop].reshape(-1, *entry.shape))
        params[entry.name] = value.permute(0, *(axis + 1 for axis in turned(entry))).contiguous()
    return params, {}
