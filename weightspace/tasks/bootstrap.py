"""95 % bootstrap intervals over networks; checkpoints of one training run are drawn together."""

from dataclasses import dataclass
from typing import final

import numpy as np

NUM_RESAMPLES = 2000


@final
@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """``{"mean", "low", "high"}``."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


def resample(groups: np.ndarray, seed: int = 0, num: int = NUM_RESAMPLES) -> np.ndarray:
    """How often each network is drawn in each resample, ``[num, networks]``.

    Groups (training runs) are drawn with replacement, each with all its networks: checkpoints of one run
    resemble each other, and drawing them one by one would make intervals too narrow. The same groups and seed
    give the same draws, so intervals of different methods are paired.
    """
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=num)
    return draws[:, member]


def mean_interval(values: np.ndarray, weights: np.ndarray) -> Estimate:
    """Mean of ``values`` over networks; pass a difference of two methods for a paired interval."""
    values = np.asarray(values, dtype=np.float64)
    means = weights @ values / weights.sum(1)
    return _estimate(float(values.mean()), means)


def pair_interval(pairs: np.ndarray, weights: np.ndarray) -> Estimate:
    """Mean of ``pairs[i, j]`` over ordered pairs of different networks.

    A resample may hold a network twice; such a pair says nothing about two networks and is left out.
    """
    num = len(pairs)
    off = np.where(np.eye(num, dtype=bool), 0.0, pairs)
    drawn = weights.astype(np.float64)
    count = drawn.sum(1) ** 2 - (drawn**2).sum(1)
    sums = ((drawn @ off) * drawn).sum(1)
    # A resample of one network only has no pairs; with two groups that is every other draw.
    kept = count > 0
    mean = float(off.sum() / (num * (num - 1))) if num > 1 else 0.0
    return _estimate(mean, sums[kept] / count[kept])


def _estimate(mean: float, draws: np.ndarray) -> Estimate:
    if len(draws) == 0:
        return Estimate(mean, mean, mean)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(mean, float(low), float(high))
