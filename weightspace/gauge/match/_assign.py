"""The cheapest assignment of neurons, and of blocks of neurons with all that is inside them."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ._carriers import Family

LARGE = 128
"""Neurons from which an assignment is worth preparing."""

SMOOTH = 0.05
"""Entropy of the prices, relative to the mean cost."""

ITERATIONS = 8
"""Rounds of the prices."""

ROUNDING = 1e-9
"""Rounding of the prices, relative to the cost of the answer, above which it is sought without them."""


@final
@dataclass(frozen=True, eq=False)
class Plan:
    """Costs of all pairs of a family's neurons, blocks included, and the assignments inside every pair of blocks."""

    family: Family
    costs: Float[Tensor, "b n n"]
    inside: tuple[tuple["Plan", Int[Tensor, "b n n k"]], ...]


def assign(costs: Float[Tensor, "*s n n"], least: Float[Tensor, "*s"] | None = None) -> Int[Tensor, "*s n"]:
    """For each row the column of the cheapest assignment.

    Ties go to the pairs that stand together already, so that equal networks are left in place; with ``least`` whatever
    is cheaper by no more than that is a tie.
    """
    num = costs.shape[-1]
    lead = costs.shape[:-2]
    flat = np.ascontiguousarray(costs.reshape(-1, num, num).cpu().numpy(), dtype=np.float64)
    ties = np.zeros(len(flat)) if least is None else least.reshape(-1).double().numpy()
    out = np.empty((len(flat), num), dtype=np.int64)
    for place, one in enumerate(flat):
        out[place] = _cheapest(one)
        kept = one[np.arange(num), np.arange(num)].sum()
        if kept <= one[np.arange(num), out[place]].sum() + ties[place]:
            out[place] = np.arange(num)
    return torch.from_numpy(out).view(*lead, num)


def _cheapest(costs: np.ndarray) -> np.ndarray:
    # The same problem with a zero in every column and row: half the time.
    reduced = costs - costs.min(0)
    reduced -= reduced.min(1, keepdims=True)
    if len(costs) >= LARGE:
        nearest = reduced.argmin(1)
        if np.bincount(nearest).max() == 1:
            return nearest
        priced, rounding = _with_prices(reduced)
        found = linear_sum_assignment(priced)[1]
        # Of costs of very different sizes prices as large as the largest leave too few digits of the others.
        if rounding <= ROUNDING * reduced[np.arange(len(costs)), found].sum():
            return found
    return linear_sum_assignment(reduced)[1]


def _with_prices(reduced: np.ndarray) -> tuple[np.ndarray, float]:
    """The same problem once more, less prices that bring most pairs of the answer near zero: half the time again.

    Any prices leave the answer as it is, but for their rounding, of which the most is the second result. These are the
    ones of a transport plan smoothed by entropy, after a few Sinkhorn iterations (arXiv:1306.0895).
    """
    warmth = SMOOTH * reduced.mean()
    if not warmth > 0 or not np.isfinite(warmth):
        return reduced, 0.0
    kernel = np.exp(-(reduced / warmth).astype(np.float32))
    rows = np.ones(len(kernel), dtype=np.float32)
    columns = rows
    with np.errstate(all="ignore"):
        for _ in range(ITERATIONS):
            columns = 1 / (rows @ kernel)
            rows = 1 / (kernel @ columns)
        prices = warmth * (np.log(rows)[:, None].astype(np.float64) + np.log(columns))
    if not np.isfinite(prices).all():  # costs of very different sizes
        return reduced, 0.0
    rounding = len(prices) * np.finfo(np.float64).eps * float(np.abs(prices).max())
    priced = reduced - prices
    priced -= priced.min(0)
    return priced - priced.min(1, keepdims=True), rounding


def plan(family: Family, costs: dict[str, Float[Tensor, "b _n _n"] | None], num: int, blocks: dict[str, int]) -> Plan:
    """The costs of a family with those of the families inside its neurons, each at its cheapest.

    Args:
        family: The outer family.
        costs: Costs of every family by its space; nothing for one that no entry carries by itself.
        num: Stacked networks.
        blocks: Neurons of each family.
    """
    size = blocks[family.space]
    own = costs[family.space]
    total = torch.zeros(num, size, size, dtype=torch.float64) if own is None else own.clone()
    inside = []
    for inner in family.inside:
        its = plan(inner, costs, num, blocks)
        each = blocks[inner.space] // size
        tiles = its.costs.view(num, size, each, size, each).transpose(2, 3)  # [b, block, block, k, k]
        order = assign(tiles)
        total = total + tiles.gather(-1, order.unsqueeze(-1)).sum((-1, -2))
        inside.append((its, order))
    return Plan(family, total, tuple(inside))


def orders(found: Plan, chosen: Int[Tensor, "b n"]) -> dict[str, Int[Tensor, "b _n"]]:
    """The permutation of each family once the outer neurons are assigned: for each place the neuron put there."""
    out = {found.family.space: chosen}
    for its, order in found.inside:
        num, size, _, each = order.shape
        local = order.gather(2, chosen.view(num, size, 1, 1).expand(-1, -1, 1, each))[:, :, 0]
        out |= orders(its, (chosen.unsqueeze(-1) * each + local).flatten(1))
    return out
