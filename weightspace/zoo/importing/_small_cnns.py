"""The Small CNN Zoo: one row of numbers a network in an ``.npy`` file, and tables of its layout and of scores.

Source: Unterthiner et al. 2020, arXiv:2002.11448. Rows are read as they are needed: the file is never in memory.
"""

import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from pydantic import ValidationError

from ..._errors import ConfigError, SpecMismatch
from .._images import NATIVE
from .._imported_config import UNKNOWN, ImportedConfig
from ..targets import CNNTarget
from ._collection import Collection, Columns, digest, networks_per_shard, tenths
from ._small_cnn_files import AGAIN, FILES, SCORES, Entry, read_layout, read_metrics, read_rows, rows_of, turned

_SIDE = 32


def open_small_cnns(
    folder: Path,
    name: str,
    *,
    split_file: Path | None = None,
    step: int | None = None,
    activation: str | None = None,
) -> Collection:
    """The networks of one step and one activation; kernels and matrices are turned to the order that torch has.

    Args:
        folder: It holds ``weights.npy``, ``metrics.csv.gz`` and ``layout.csv``.
        name: Name of the format.
        split_file: An order of all rows, a whole number a line, as released with NFN (arXiv:2302.14040): of the rows
            of the step in this order the last half is test, the first half is shuffled and split into train and val,
            4 to 1. By default 80/10/10, drawn by a fixed seed. Either way before the activation is looked at.
        step: Epoch of the checkpoints; by default the last.
        activation: ``relu`` or ``tanh``; needed where both are there.

    Raises:
        ConfigError: if a file is missing or damaged, they contradict each other, or nothing is chosen.
    """
    for file in FILES:
        if not (folder / file).is_file():
            raise ConfigError(f"{folder / file} is missing. {AGAIN}")
    layout = read_layout(folder / FILES[2])
    table = read_metrics(folder / FILES[1])
    weights = rows_of(folder / FILES[0], layout)
    num = len(table["step"])
    if len(weights) != num:
        raise ConfigError(
            f"{folder / FILES[0]} has {len(weights)} networks, {FILES[1]} beside it {num} rows. They are of different "
            f"collections, or one is cut short. {AGAIN}"
        )
    steps = np.unique(table["step"])
    chosen = int(steps[-1]) if step is None else step
    order = np.arange(num) if split_file is None else _order(split_file, num)
    order = order[table["step"][order] == chosen]
    if not len(order):
        raise ConfigError(f"{folder} has no networks of step {chosen}. Choose --step of {', '.join(map(str, steps))}.")
    splits = dict(zip(order.tolist(), _halves(len(order)) if split_file else tenths(len(order)), strict=True))
    kinds = sorted(set(table["config.activation"][order].tolist()))
    if activation is None and len(kinds) > 1:
        raise ConfigError(
            f"{folder} holds networks with {' and with '.join(kinds)}; a zoo has one activation. Add --activation "
            f"{kinds[0]}"
        )
    if activation not in (None, *kinds):
        raise ConfigError(f"{folder} has no {activation!r} networks. Choose --activation {' or '.join(kinds)}.")
    wanted = activation or kinds[0]
    rows = np.sort(order[table["config.activation"][order] == wanted])
    images, target = _target(folder, table, rows, layout, wanted)
    config = ImportedConfig(
        format=name,
        source=folder.resolve().name,
        digest=digest(folder, FILES, [*(folder / file for file in FILES[1:]), *([split_file] if split_file else [])]),
        target=target,
        images=images,
        num=len(rows),
        checkpoints=(chosen,),
        shard=networks_per_shard(target.shapes().values()),
    )
    columns: Columns = {"split": [splits[row] for row in rows.tolist()], "zoo_row": rows.tolist()}
    for key, values in table.items():
        if key in SCORES or (key.startswith("config.") and key != "config.activation"):
            columns[key] = values[rows].tolist()
    wrong = [row for row in rows if not 0 <= table["test_accuracy"][row] <= 1]
    if wrong:
        raise ConfigError(
            f"{folder / FILES[1]}: row {wrong[0]} has the test_accuracy {table['test_accuracy'][wrong[0]]}, which is "
            f"no fraction. {AGAIN}"
        )
    return Collection(folder, config, columns, partial(read_rows, folder / FILES[0], layout, rows))


def _order(path: Path, num: int) -> Int[np.ndarray, " r"]:
    """The rows in the order of a file; a first line 0 that stands there once more is a header."""
    try:
        order = [int(line) for line in path.read_text().split()]
    except (OSError, ValueError) as error:
        raise ConfigError(f"--split-file {path} is no list of rows, a whole number a line: {error}.") from error
    if order[:1] == [0] and 0 in order[1:]:
        order = order[1:]
    if sorted(order) != list(range(num)):
        raise ConfigError(
            f"--split-file {path} lists {len(order)} rows, not each of 0 to {num - 1} once. Name the file of this "
            "collection, or leave it out."
        )
    return np.asarray(order)


def _halves(num: int) -> list[str]:
    half = list(range(num // 2))
    random.Random(0).shuffle(half)
    splits = ["test"] * num
    for place, row in enumerate(half):
        splits[row] = "train" if place < int(0.8 * num / 2) else "val"
    return splits


def _target(
    folder: Path, table: dict[str, np.ndarray], rows: np.ndarray, layout: list[Entry], activation: str
) -> tuple[str, CNNTarget]:
    """Name of the images, and the architecture that the layout says."""
    names = np.unique(table["config.dataset"][rows]).tolist() if "config.dataset" in table else []
    images = str(names[0]) if len(names) == 1 else UNKNOWN
    channels, classes = {entry.name: entry for entry in layout}["head.weight"].shape
    side = NATIVE[images][0] if images in NATIVE and NATIVE[images][0] >= 15 else _SIDE
    value: dict[str, Any] = {"side": side, "channels": channels, "num_classes": classes, "activation": activation}
    try:
        target = CNNTarget.model_validate(value)
    except ValidationError as error:
        raise ConfigError(f"{folder} holds networks that are not known: {error.errors()[0]['msg']}.") from error
    for entry in layout:
        have, want = tuple(entry.shape[place] for place in turned(entry)), target.shapes()[entry.name]
        if have != want:
            raise SpecMismatch(
                f"{folder / FILES[2]} gives {entry.name} the shape {list(have)} (as torch has it), the network of the "
                f"Small CNN Zoo has {list(want)}. {AGAIN}"
            )
    return images, target
