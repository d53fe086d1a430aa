"""A collection of networks as it lies there: what it is, its index, and how some of its networks are read."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Int
from torch import Tensor

from ..._errors import ConfigError
from ..._types import Params
from .._imported_config import ImportedConfig

SPLITS = ("train", "val", "test")

_SEED = 20260301  # fixed for good: the same collection is split the same everywhere
_SHARD_NUMBERS = 1 << 22
_MOST = 1000

Columns = dict[str, list[Any]]
"""Part of an index: by name, a value for each network."""


@final
@dataclass(frozen=True, eq=False)
class Collection:
    """Networks of one architecture that somebody has trained.

    Attributes:
        folder: Where they lie; nothing is written there.
        config: What the zoo says of them.
        columns: The index, with ``split``; a value for each network.
        read: Stacked parameters of the networks at some places, under the names of the target, and further columns
            that only their files show. It refuses files that are damaged or not what the index says.
    """

    folder: Path
    config: ImportedConfig
    columns: Columns
    read: Callable[[range], tuple[Params, Columns]]


def networks_per_shard(shapes: Iterable[Sequence[int]]) -> int:
    """As many networks as are some 16 megabytes, at most a thousand."""
    numbers = sum(int(np.prod(shape)) for shape in shapes)
    return int(min(_MOST, max(1, _SHARD_NUMBERS // max(numbers, 1))))


def walk(folder: Path) -> Iterator[str]:
    """Files of a folder, by their paths in it, sorted; without what packing left there (``__MACOSX``, ``._*``)."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__MACOSX" and not name.startswith(".")]
        found += [os.path.join(place, name) for name in files if not name.startswith(".")]
    yield from sorted(Path(path).relative_to(folder).as_posix() for path in found)


def digest(folder: Path, files: Iterable[str], tables: Iterable[Path] = ()) -> str:
    """Of names and sizes of files, and of the content of tables beside them.

    Raises:
        ConfigError: if one of them has gone or may not be read.
    """
    found = hashlib.sha256()
    try:
        for file in files:
            found.update(f"{file} {(folder / file).stat().st_size}\n".encode())
        for table in tables:
            found.update(hashlib.sha256(table.read_bytes()).digest())
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename}: {error.strerror}. Check the folder {folder}.") from error
    return found.hexdigest()[:16]


def drawn(num: int, shares: Mapping[str, int], rest: str) -> Int[np.ndarray, " n"]:
    """By place, the number of its split in ``SPLITS``: as many of each as ``shares`` says, drawn by a fixed seed."""
    out = np.full(num, SPLITS.index(rest))
    order, first = np.random.default_rng(_SEED).permutation(num), 0
    for split, count in shares.items():
        out[order[first : first + count]] = SPLITS.index(split)
        first += count
    return out


def tenths(num: int) -> list[str]:
    """A split for each of some networks: a tenth of them val, a tenth test."""
    tenth = max(1, round(num / 10)) if num > 2 else 0
    return [SPLITS[place] for place in drawn(num, {"val": tenth, "test": tenth}, "train")]


def stacked(networks: Sequence[Mapping[str, Tensor]]) -> Params:
    """Networks of the same shapes as stacked parameters; floating-point numbers become float32."""
    import torch

    out: Params = {}
    for name, value in networks[0].items():
        floating = value.dtype.is_floating_point
        out[name] = torch.stack([one[name].float() if floating else one[name] for one in networks])
    return out
