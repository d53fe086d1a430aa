"""The cheapest assignment of neurons, and of blocks of neurons with all that is inside them."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ._carriers import Family


@final
@dataclass(frozen=True, eq=False)
class Plan:
    """Costs of all pairs of a family's neurons, blocks included, and the assignments inside every pair of blocks."""

    family: Family
    costs: Float[Tensor, "b n n"]
    inside: tuple[tuple["Plan", Int[Tensor, "b n n k"]], ...]


def assign(costs: Float[Tensor, "*s n n"]) -> Int[Tensor, "*s n"]:
    """For each row the column of the cheapest assignment.

    Ties go to the pairs that stand together already, so that equal networks are left in place.
    """
    num = costs.shape[-1]
    lead = costs.shape[:-2]
    flat = np.ascontiguousarray(costs.reshape(-1, num, num).cpu().numpy())
    out = np.empty((len(flat), num), dtype=np.int64)
    for place, one in enumerate(flat):
        # The same problem with a zero in every column and row: half the time.
        reduced = one - one.min(0)
        reduced -= reduced.min(1, keepdims=True)
        _, out[place] = linear_sum_assignment(reduced)
        kept = one[np.arange(num), np.arange(num)].sum()
        if kept <= one[np.arange(num), out[place]].sum():
            out[place] = np.arange(num)
    return torch.from_numpy(out).view(*lead, num)


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
