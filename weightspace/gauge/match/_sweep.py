"""The element found by comparing neurons with what is known of them so far.

A sweep matches one family after the other. Entries towards neurons that are matched already (or never move: inputs,
outputs) are compared one by one; of the others only their sorted values, which no order of the neighbours changes. So
a planted element is found at once, where descent from the identity ends in a poor optimum.

Source: the sorted slices and the sweep are ours; the reference starts from the identity (arXiv:2511.12601).
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...spec import SymmetrySpec
from .._element import Element, compose, identity
from ..index import has_own_order
from ._carriers import Carrier, Family, with_inside
from ._costs import Choice, Products, norms, pair_costs, products
from ._problem import Problem
from ._step import element_of, move

CLEAR = 0.01
"""Squared distance to the nearest neuron, relative to that of the next one, at which there is no doubt."""


def known_share(task: Problem, order: tuple[Family, ...]) -> Float[Tensor, " b"]:
    """Of what carries a family, the share in squared norm that is known at its turn; of the least known family."""
    known: set[str] = set()
    least = torch.ones(task.num, dtype=torch.float64)
    for family in order:
        shares = torch.zeros(2, task.num, dtype=torch.float64)
        for each in with_inside(family):
            for carrier in each.carriers:
                shares[int(_unknown(carrier, known))] += task.sizes[carrier.param]
        every = shares.sum(0)
        least = torch.minimum(least, (shares[0] / every).where(every > 0, 1.0))
        known |= {name for each in with_inside(family) for name in (each.space, *each.signs)}
    return least


def sweep(task: Problem, order: tuple[Family, ...], progress: Callable[[int, int], None] | None = None) -> Element:
    """The element found by matching the families in the given order, each by what is known then.

    Args:
        task: The networks.
        order: Its families, in some order.
        progress: Called with the families matched and their number.
    """
    element, (left, moved) = identity(task.spec).expand(task.num), task.single
    moved = dict(moved)
    known: set[str] = set()
    for place, family in enumerate(order):
        if progress is not None:
            progress(place, len(order))
        costs: dict[str, Tensor | None] = {}
        choices: dict[str, Choice] = {}
        signed: set[str] = set()
        for each in with_inside(family):
            exact = tuple(c for c in each.carriers if not _unknown(c, known))
            rough = tuple(c for c in each.carriers if _unknown(c, known))
            found = products(left, moved, exact, dtype=torch.float32)
            cost, choices[each.space] = pair_costs(found, each, sizes=False)
            signed |= {name for parity, _ in found for name in parity}
            if cost is not None and rough and _is_clear(cost, norms(left, exact).float()):
                rough = ()
            for carrier in rough:
                its = _slices(left, moved, carrier, known, task.spec)
                more = its.norm.unsqueeze(-2) - 2 * its.inner
                cost = more if cost is None else cost + more
            costs[each.space] = cost
        step = element_of(family, costs, choices, task.spec, task.num)
        element = compose(step, element)
        part = task.parts[task.families.index(family)]
        moved |= move(step, {name: moved[name] for name in part.axes}, part)
        known |= {each.space for each in with_inside(family)}
        # A sign that no exact entry has shown is open still: entries towards it are compared by magnitude.
        every = {name for each in with_inside(family) for name in each.signs}
        known |= (every & signed) | {f"no sign of {name}" for name in every - signed}
    if progress is not None:
        progress(len(order), len(order))
    return element


def _is_clear(cost: Float[Tensor, "b n n"], norm: Float[Tensor, "b n"]) -> bool:
    """Whether every neuron has a partner of its own that is far nearer than any other one; ``norm`` is of the rows.

    Then entries whose order is open, which cost most, have nothing to add.
    """
    if cost.shape[-1] == 1:
        return True
    far = cost + norm.unsqueeze(-1)
    (first, second), (place, _) = (found.unbind(-1) for found in far.topk(2, largest=False))
    partners = place.sort(-1).values == torch.arange(place.shape[-1])
    return bool((partners & (first <= CLEAR * second) & (second > CLEAR * norm)).all())


def _unknown(carrier: Carrier, known: set[str]) -> bool:
    return any(not _settled(name, known) for names in carrier.others.values() for name in names)


def _settled(name: str, known: set[str]) -> bool:
    return name in known and f"no sign of {name}" not in known


def _slices(
    left: Mapping[str, Tensor], right: Mapping[str, Tensor], carrier: Carrier, known: set[str], spec: SymmetrySpec
) -> Products:
    """Products of neurons by their sorted entries: sorted along the axes whose order is open."""
    here, there = carrier.rows(left[carrier.param]), carrier.rows(right[carrier.param])
    signs = any(
        spec.space[name].scale in ("sign", "nonzero") and not _settled(name, known)
        for names in carrier.others.values()
        for name in names
    )
    if carrier.parity or signs:
        here, there = here.abs(), there.abs()
    # Behind networks, neurons and a neuron's own entries come the other axes in their order.
    rest = [dim for dim in range(len(spec.axes[carrier.param])) if dim not in carrier.dims]
    free = {space.name for space in spec.free if has_own_order(space)} - known
    loose = [dim for dim in sorted(carrier.others) if carrier.others[dim] & free]
    sort = sorted({3 + rest.index(dim) if dim in rest else 2 for dim in loose})
    if not sort:  # only the signs are open
        here, there = here.flatten(2), there.flatten(2)
        return Products(here @ there.mT, there.square().sum(-1))
    kept = [dim for dim in range(2, here.ndim) if dim not in sort]
    here, there = (
        # Several times as fast as the sort of torch.
        torch.from_numpy(np.sort(value.permute(0, 1, *kept, *sort).flatten(2 + len(kept)).numpy())).flatten(2)
        for value in (here, there)
    )
    return Products(here @ there.mT, there.square().sum(-1))
