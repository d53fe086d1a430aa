"""What a run works on: the networks of the zoo by split, the images, and how target networks are run."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from .._errors import ConfigError
from .._types import Params
from ..spec import SymmetrySpec
from ..tasks import Forward, Objective, objective
from ..zoo import Images, Zoo, load_images, stacked_mlp
from .config import Run
from .zoo_source import open_zoo

Progress = Callable[[int, int, str], None]
"""Called with units done, units in all, and a message."""


@final
@dataclass(frozen=True)
class Networks:
    """Stacked networks of one split, with their training run and their index columns."""

    params: Params
    runs: np.ndarray
    val_accuracy: np.ndarray

    def __len__(self) -> int:
        return len(self.runs)


@final
@dataclass(frozen=True)
class Material:
    """Everything that training and evaluation read."""

    zoo: Zoo
    spec: SymmetrySpec
    activation: str
    images: Images
    forward: Forward
    train: Networks
    val: Networks
    test: Networks

    def objective(self, config: Run) -> Objective:
        """The run's objective for these target networks."""
        return objective(config.objective.kind, config.objective.l1, self.forward)


def load_material(
    config: Run,
    folder: Path,
    *,
    data_dir: str | Path | None = None,
    progress: Progress | None = None,
    make: bool = False,
) -> Material:
    """Open the run's zoo and load its networks; ``make`` makes the zoo if there is none and the run says how.

    Networks below the filter's validation accuracy, and networks with a weight that is not finite, take no part.

    Raises:
        ConfigError: if there is no zoo, it is another than the run was trained on, or a split holds too few networks.
        ZooError: if the zoo is damaged.
    """
    zoo = open_zoo(config, folder, make=make, data_dir=data_dir, progress=progress)
    activation = zoo.of_mlps().target.activation
    images = load_images(zoo.config.images, data_dir, progress)
    splits = {name: _networks(zoo, name, config.filter.min_val_accuracy) for name in ("train", "val", "test")}
    return Material(zoo, zoo.spec, activation, images, partial(stacked_mlp, activation=activation), **splits)


def spread(num: int, count: int) -> Int[Tensor, " c"]:
    """``count`` of ``num`` indices, evenly spaced."""
    return torch.arange(count) * num // count


def _networks(zoo: Zoo, split: str, min_val_accuracy: float) -> Networks:
    rows = zoo.split(split)
    accuracy = zoo.rows["val_accuracy"][rows]
    kept = rows[accuracy >= min_val_accuracy]
    if len(kept) < 2:
        raise ConfigError(
            f"only {len(kept)} of the {len(rows)} {split} networks reach the validation accuracy "
            f"{min_val_accuracy:g}; at least 2 are needed. Make a larger zoo (--zoo.make.num) or lower "
            "--filter.min-val-accuracy."
        )
    params = zoo.load(kept)
    return Networks(params, zoo.rows["id"][kept], zoo.rows["val_accuracy"][kept])
