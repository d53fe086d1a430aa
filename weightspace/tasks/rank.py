"""How well predictions order networks: Kendall's tau-b with its bootstrap interval, and what ties allow at most."""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import kendalltau

from .bootstrap import Estimate


def tau(predicted: Float[np.ndarray, " b"], true: Float[np.ndarray, " b"]) -> float:
    """Kendall's tau-b; 0 where either side is constant, since then nothing is ordered."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coefficient: Any = kendalltau(predicted, true)[0]
        found = float(coefficient)
    return found if np.isfinite(found) else 0.0


def tau_interval(
    predicted: Float[np.ndarray, " b"], true: Float[np.ndarray, " b"], weights: Int[np.ndarray, "r b"]
) -> Estimate:
    """Tau-b with its 95 % interval; each row of ``weights`` says how often a resample draws every network."""
    places = np.arange(len(true))
    drawn = [np.repeat(places, row) for row in weights]
    low, high = np.quantile([tau(predicted[some], true[some]) for some in drawn], [0.025, 0.975])
    return Estimate(tau(predicted, true), float(low), float(high))


def tau_ceiling(true: Float[np.ndarray, " b"]) -> float:
    """The largest tau-b of predictions without ties: equal goals cannot be ordered rightly."""
    order = np.empty(len(true))
    order[np.argsort(true, kind="stable")] = np.arange(len(true))
    return tau(order, true)


def r_squared(predicted: Float[np.ndarray, " b"], true: Float[np.ndarray, " b"]) -> float:
    """Share of the variance that predictions explain; below 0 where they are worse than the mean."""
    spread = float(np.square(true - true.mean()).sum())
    return 1 - float(np.square(predicted - true).sum()) / spread if spread > 0 else 0.0
