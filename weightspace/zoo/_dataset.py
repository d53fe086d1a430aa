"""A zoo as a torch data set: a network is an item, a batch is stacked; shards are read when they are needed."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .._types import Params
from ._zoo import Zoo

Item = tuple[Params, dict[str, Any]]
"""Parameters of a network, and its row of the index."""

Batch = tuple[Params, dict[str, Any]]
"""Stacked parameters, and columns: tensors of numbers, lists of words."""

_KEPT = 1 << 30


@final
class ZooDataset(Dataset[Item]):
    """Networks of a zoo, in the order of its index.

    Whole shards are read, and up to a gigabyte of them stays in memory.

    Attributes:
        zoo: It.
        indices: Rows of the index, by place.
    """

    def __init__(self, zoo: Zoo | str | os.PathLike[str], split: str | None = None) -> None:
        """
        Args:
            zoo: An open zoo, or its folder.
            split: ``train``, ``val`` or ``test``; all networks by default.

        Raises:
            ZooError: if there is no such zoo or split.
        """
        self.zoo = zoo if isinstance(zoo, Zoo) else Zoo.open(zoo)
        self.indices = np.arange(len(self.zoo)) if split is None else self.zoo.split(split)
        self._shards, self._places = np.unique(self.zoo.rows["shard"][self.indices], return_inverse=True)
        self._kept: OrderedDict[int, tuple[np.ndarray, Params]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> Item:
        """The network at a place.

        Raises:
            IndexError: if there are not as many.
            ZooError: if its shard is damaged.
        """
        if not -len(self) <= place < len(self):
            raise IndexError(f"there is no network {place}: there are {len(self)}")
        place %= len(self)
        members, params = self._shard(int(self._places[place]))
        where = int(np.searchsorted(members, place))
        index = self.indices[place]
        row = {name: column[index] for name, column in self.zoo.rows.items()}
        return {name: value[where] for name, value in params.items()}, row

    def loader(self, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> "DataLoader[Batch]":
        """Batches of all networks, the last one smaller; the order is a function of the seed and the epoch."""
        generator = torch.Generator().manual_seed(seed)
        return DataLoader(self, batch_size, shuffle=shuffle, generator=generator, collate_fn=collate)  # type: ignore[arg-type]

    def _shard(self, number: int) -> tuple[np.ndarray, Params]:
        """Places whose networks lie in a shard, and these networks."""
        if number not in self._kept:
            members = np.flatnonzero(self._places == number)
            self._kept[number] = members, self.zoo.load(self.indices[members])
            while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return self._kept[number]


def collate(items: Sequence[Item]) -> Batch:
    """Items as a batch."""
    params = {name: torch.stack([one[name] for one, _ in items]) for name in items[0][0]}
    columns: dict[str, Tensor | list[Any]] = {}
    for name in items[0][1]:
        values = [row[name] for _, row in items]
        column = np.asarray(values)
        columns[name] = torch.from_numpy(column) if column.dtype.kind in "biuf" else values
    return params, columns


def _size(shard: tuple[np.ndarray, Params]) -> int:
    return sum(value.numel() * value.element_size() for value in shard[1].values())
