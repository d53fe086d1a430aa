"""The assignment: whatever the costs look like, its value is that of the plain solver."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from weightspace.gauge.match import LARGE, assign

_DRAW = np.random.default_rng(0)
_NORMAL = _DRAW.normal(size=(LARGE, LARGE))
_PAIRS = np.abs(_NORMAL[:, :1] - _NORMAL[:, :1].T)
_BLOCKS = np.where(np.arange(LARGE)[:, None] // 32 == np.arange(LARGE) // 32, _NORMAL, 1e8)
_OUTLIERS = _NORMAL.copy()
_OUTLIERS[:2, :3] = 1e30

COSTS = {
    "all equal": np.full((LARGE, LARGE), 3.7),
    "normal": _NORMAL,
    "negative": -1e6 * np.abs(_NORMAL),
    "many ties": np.round(2 * _NORMAL),
    "a product": -np.outer(np.arange(LARGE), np.arange(LARGE)).astype(float),
    "a planted order": _PAIRS[_DRAW.permutation(LARGE)],
    "blocks": _BLOCKS[_DRAW.permutation(LARGE)],
    "rows far apart": _NORMAL + 1e6 * _NORMAL[:, :1],
    "a few of another size": _OUTLIERS,
    "many of another size": np.where(_DRAW.random((LARGE, LARGE)) < 0.3, 1e30, _NORMAL),
    "some impossible": np.where(_DRAW.random((LARGE, LARGE)) < 0.3, np.inf, _NORMAL),
    "tiny": 1e-200 * _NORMAL,
}


@pytest.mark.parametrize("name", COSTS)
def test_large_assignments_cost_what_the_plain_solver_finds(name: str) -> None:
    costs = COSTS[name]
    found = assign(torch.from_numpy(costs)).numpy()
    assert sorted(found.tolist()) == list(range(LARGE))
    best, have = (math.fsum(costs[pairs]) for pairs in (linear_sum_assignment(costs), (range(LARGE), found)))
    assert have == pytest.approx(best, rel=1e-9, abs=0)
