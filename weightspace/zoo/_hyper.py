"""Hyper-parameters of each training run, and every random stream it uses.

Run ``i`` of a zoo with seed ``s`` draws from streams that are functions of ``(s, i)`` alone, so neither the shard
it is trained in nor the number of networks around it changes what it does.
"""

from dataclasses import dataclass
from typing import Literal, final, get_args

import numpy as np
from pydantic import Field, model_validator

from .._frozen import Frozen

OptimizerName = Literal["sgd", "adam", "rmsprop"]
InitName = Literal["glorot", "he", "orthogonal", "truncated_normal", "normal"]

StreamName = Literal["hyper", "init", "order", "shuffle", "dropout"]


@final
class HyperSpace(Frozen):
    """Ranges from which each run draws its hyper-parameters.

    The defaults follow Unterthiner et al. 2021, arXiv:2002.11448. The ranges of dropout and data fraction are
    recalled, not verified. Glorot and He initialization are their normal forms; the variance range applies to
    ``normal`` and ``truncated_normal`` only.
    """

    optimizers: tuple[OptimizerName, ...] = Field(default=get_args(OptimizerName), min_length=1)
    learning_rate: tuple[float, float] = Field(default=(5e-4, 5e-2), description="Bounds, drawn log-uniformly.")
    l2: tuple[float, float] = Field(
        default=(1e-8, 1e-2), description="Bounds of the weight decay c (loss + c/2 |w|^2), drawn log-uniformly."
    )
    inits: tuple[InitName, ...] = Field(default=get_args(InitName), min_length=1)
    init_variance: tuple[float, float] = Field(default=(1e-3, 0.5), description="Bounds, drawn log-uniformly.")
    dropout: tuple[float, float] = Field(default=(0.0, 0.7), description="Bounds, drawn uniformly, in steps of 1/256.")
    fractions: tuple[float, ...] = Field(default=(0.1, 0.25, 0.5, 1.0), min_length=1)

    @model_validator(mode="after")
    def _ordered(self) -> "HyperSpace":
        for name in ("learning_rate", "l2", "init_variance"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} needs bounds with 0 < low <= high, got {(low, high)}")
        if not 0 <= self.dropout[0] <= self.dropout[1] < 1:
            raise ValueError(f"dropout needs bounds with 0 <= low <= high < 1, got {self.dropout}")
        if not all(0 < fraction <= 1 for fraction in self.fractions):
            raise ValueError(f"fractions must lie in (0, 1], got {self.fractions}")
        return self


@final
@dataclass(frozen=True)
class Hyper:
    """What run ``id`` was trained with.

    ``seed`` starts all of the run's streams; ``init_std`` is ``None`` where the initialization has no free scale.
    """

    id: int
    seed: int
    optimizer: OptimizerName
    learning_rate: float
    l2: float
    init: InitName
    init_std: float | None
    dropout: float
    fraction: float


def draw_hyper(space: HyperSpace, zoo_seed: int, run: int) -> Hyper:
    """The hyper-parameters of run ``run``."""
    seed = run_seed(zoo_seed, run)
    rng = np.random.Generator(np.random.PCG64(stream(seed, "hyper")))
    # Every draw is made for every run, in this order, so narrowing one range leaves the other draws alone.
    optimizer = space.optimizers[_choice(rng, len(space.optimizers))]
    learning_rate = _log_uniform(rng, space.learning_rate)
    l2 = _log_uniform(rng, space.l2)
    init = space.inits[_choice(rng, len(space.inits))]
    std = _log_uniform(rng, space.init_variance) ** 0.5
    # One random byte decides about a unit, so the rate is a multiple of 1/256 and exact.
    low, high = space.dropout
    dropout = round((low + (high - low) * rng.random()) * 256) / 256
    fraction = space.fractions[_choice(rng, len(space.fractions))]
    return Hyper(
        id=run,
        seed=seed,
        optimizer=optimizer,
        learning_rate=learning_rate,
        l2=l2,
        init=init,
        init_std=std if init in ("normal", "truncated_normal") else None,
        dropout=dropout,
        fraction=fraction,
    )


def run_seed(zoo_seed: int, run: int) -> int:
    """Seed of everything random in run ``run`` (63 bits)."""
    words = np.random.SeedSequence(zoo_seed, spawn_key=(run, 0)).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def stream(seed: int, name: StreamName) -> np.random.SeedSequence:
    """Start of one random stream of the run with this seed; streams of different names are independent."""
    return np.random.SeedSequence(seed, spawn_key=(get_args(StreamName).index(name),))


def split_of(zoo_seed: int, run: int) -> str:
    """``train``, ``val`` or ``test``: of every ten consecutive runs eight, one and one, in seeded order."""
    block = np.random.SeedSequence(zoo_seed, spawn_key=(run // 10, 1))
    place = np.random.Generator(np.random.PCG64(block)).permutation(10)[run % 10]
    return {8: "val", 9: "test"}.get(int(place), "train")


def _choice(rng: np.random.Generator, num: int) -> int:
    return int(rng.random() * num)


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    low, high = np.log(bounds[0]), np.log(bounds[1])
    return float(np.exp(low + (high - low) * rng.random()))
