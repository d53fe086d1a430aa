"""The cheapest assignment of neurons, and of blocks of neurons with all that is inside them."""

import math
from dataclasses import dataclass
from typing import final

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
    flat = costs.detach().to("cpu", torch.float64).reshape(-1, num, num)
    ties = torch.zeros(len(flat), dtype=torch.float64) if least is None else least.reshape(-1).double()
    places = torch.arange(num)
    out = torch.empty((len(flat), num), dtype=torch.int64)
    for place, one in enumerate(flat):
        chosen = _cheapest(one)
        stays = one.diagonal().sum() <= one[places, chosen].sum() + ties[place]
        out[place] = places if stays else chosen
    return out.view(*lead, num)


def _cheapest(costs: Float[Tensor, "n n"]) -> Int[Tensor, " n"]:
    # The same problem with a zero in every column and row: half the time.
    reduced = _reduced_(costs.clone())
    if len(costs) >= LARGE:
        nearest = reduced.min(1).indices
        if int(nearest.bincount().max()) == 1:
            return nearest
        priced, rounding = _with_prices(reduced)
        found = torch.from_numpy(linear_sum_assignment(priced.numpy())[1])
        # Of costs of very different sizes prices as large as the largest leave too few digits of the others.
        if rounding <= ROUNDING * float(reduced[torch.arange(len(costs)), found].sum()):
            return found
    if not bool(reduced.isfinite().all()):
        return torch.arange(len(costs))  # squares beyond the range of numbers say nothing: all stay where they are
    return torch.from_numpy(linear_sum_assignment(reduced.numpy())[1])


def _with_prices(reduced: Float[Tensor, "n n"]) -> tuple[Float[Tensor, "n n"], float]:
    """The same problem once more, less prices that bring most pairs of the answer near zero: half the time again.

    Any prices leave the answer as it is, but for their rounding, of which the most is the second result. These are the
    ones of a transport plan smoothed by entropy, after a few Sinkhorn iterations (arXiv:1306.0895).
    """
    warmth = SMOOTH * float(reduced.mean())
    if not 0 < warmth < math.inf:
        return reduced, 0.0
    kernel = (reduced / -warmth).float().exp_()
    rows = columns = torch.ones(len(kernel))
    for _ in range(ITERATIONS):
        columns = 1 / (rows @ kernel)
        rows = 1 / (kernel @ columns)
    of_rows, of_columns = (warmth * value.log().double() for value in (rows, columns))
    largest = float(of_rows.abs().max() + of_columns.abs().max())
    if not math.isfinite(largest):  # costs of very different sizes
        return reduced, 0.0
    rounding = 2 * len(reduced) * torch.finfo(torch.float64).eps * largest
    return _reduced_((reduced - of_rows.unsqueeze(-1)).sub_(of_columns)), rounding


def _reduced_(costs: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """The same costs, in place, less the least of every column and then of every row."""
    return costs.sub_(costs.amin(0)).sub_(costs.amin(1, keepdim=True))


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
