"""The networks of a zoo as a dataset: stacked by split, with their index, and what they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from .._errors import ConfigError
from .._types import Params
from ..nn import Architecture
from ..spec import SymmetrySpec
from ..zoo import Target, Zoo
from ._stacks import select

SPLITS = ("train", "val", "test")

Rows = Mapping[str, np.ndarray]
"""Columns of a zoo's index, see :class:`weightspace.zoo.Zoo`."""


@final
@dataclass(frozen=True)
class Networks:
    """Stacked networks, and their columns of the zoo's index."""

    params: Params
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows["id"])

    @property
    def runs(self) -> Int[np.ndarray, " b"]:
        """The training run that each network comes from."""
        return self.rows["id"]

    def choose(self, where: Int[Tensor, " c"]) -> "Networks":
        """Some of the networks, in the given order."""
        places = where.numpy()
        return Networks(select(self.params, where), {name: column[places] for name, column in self.rows.items()})


@final
@dataclass(frozen=True)
class Dataset:
    """Everything that a task reads of a zoo.

    Attributes:
        target: Architecture of the networks.
        spec: Its symmetry.
        images: Name of the image set that the networks were trained on.
        splits: Networks by split: ``train``, ``val`` and ``test``.
    """

    target: Target
    spec: SymmetrySpec
    images: str
    splits: Mapping[str, Networks]

    @property
    def architecture(self) -> Architecture:
        """What a metanetwork is built from."""
        return architecture_of(self.spec, self.target)


def architecture_of(spec: SymmetrySpec, target: Target | None) -> Architecture:
    """What a metanetwork is built from; without a target it cannot run the networks that it reads."""
    if target is None:
        return Architecture(spec)
    with torch.random.fork_rng(devices=[]):
        # Drawn in passing: a run's random numbers are the metanetwork's alone.
        return Architecture(spec, target.build().eval(), target.example())


def load_dataset(zoo: Zoo, keeps: Callable[[Rows], Bool[np.ndarray, " b"]], hint: str) -> Dataset:
    """The networks of a zoo that a task keeps.

    Args:
        zoo: An open zoo.
        keeps: By rows of the index, whether a network takes part.
        hint: What to do if too few do.

    Raises:
        ConfigError: if fewer than two networks of a split take part.
        ZooError: if the zoo is damaged.
    """
    splits = {}
    for name in SPLITS:
        rows = zoo.split(name)
        columns = {key: column[rows] for key, column in zoo.rows.items()}
        kept = keeps(columns)
        if kept.sum() < 2:
            raise ConfigError(
                f"only {kept.sum()} of the {len(rows)} {name} networks take part; at least 2 are needed. Make a larger "
                f"zoo (--zoo.make.num){hint}."
            )
        splits[name] = Networks(zoo.load(rows[kept]), {key: column[kept] for key, column in columns.items()})
    return Dataset(zoo.config.target, zoo.spec, zoo.config.images, splits)
