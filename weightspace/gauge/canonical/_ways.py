"""Which entries lie on a way from the inputs to the outputs, or the other way round, along entries that are not 0.

A scale goes into an entry by its positive power and out of it by its negative one. An entry of ``h1 h0~`` leads from a
neuron of h0 to one of h1, and one of ``h0 in~`` from the inputs. What lies on a way through a neuron keeps its scale
from growing and from shrinking; what lies on none can be made as small as one likes.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ._table import Table, Tables


def off_the_way(tables: Tables) -> list[Bool[Tensor, "b ..."]]:
    """By table, the entries that are not 0 and lie on no way; those that several scales multiply count as such.

    Args:
        tables: Of magnitudes.
    """
    ends = [_ends(table) for table in tables.tables]
    some = [table.value > 0 for table in tables.tables]
    steps = [here & plain for here, (_, _, plain) in zip(some, ends, strict=True)]
    # Of a table with a step in every entry only the neurons at its sides matter.
    steps = [torch.ones((), dtype=torch.bool) if bool(step.all()) else step for step in steps]
    reached = []
    for side in (0, 1):
        known = torch.zeros((tables.num, tables.size + 1), dtype=torch.bool)
        known[:, -1] = True  # the last entry stands for inputs and outputs
        while True:
            before = known.clone()
            for step, end in zip(steps, ends, strict=True):
                known |= _landed(step & known[:, end[side]], end[1 - side], tables.size + 1)
            if torch.equal(known, before):
                break
        reached.append(known)
    return [
        here & ~(step & reached[0][:, start] & reached[1][:, stop])
        for here, step, (start, stop, _) in zip(some, steps, ends, strict=True)
    ]


def _ends(table: Table) -> tuple[Int[Tensor, "..."], Int[Tensor, "..."], Bool[Tensor, "..."]]:
    """Where each entry comes from and where it leads (-1: inputs, outputs), and whether it is one plain step."""
    ends, powers, plain = [], [], torch.ones((), dtype=torch.bool)
    none = torch.full([1] * (table.value.dim() - 1), -1)
    for side in (-1, 1):
        end, power, count = none, torch.zeros_like(none), torch.zeros_like(none)
        for incidence in table.incidences:
            if incidence.power * side > 0:
                here = incidence.owner >= 0
                end, count = torch.maximum(end, incidence.owner), count + here
                power = power + here * incidence.power
        ends.append(end)
        powers.append(power)
        plain = plain & (count <= 1)
    inside = (ends[0] >= 0) & (ends[1] >= 0)
    return ends[0], ends[1], plain & (~inside | (powers[0] + powers[1] == 0))


def _landed(hit: Bool[Tensor, "b ..."], end: Int[Tensor, "..."], size: int) -> Bool[Tensor, "b _n"]:
    """Neurons at which an entry of ``hit`` ends."""
    away = [dim + 1 for dim, length in enumerate(end.shape) if length == 1]
    hit = (hit.any(away, keepdim=True) if away else hit).expand(-1, *end.shape)
    found = torch.zeros((len(hit), size), dtype=torch.float32)
    return found.index_add_(1, end.flatten() % size, hit.flatten(1).float()) > 0
