"""The published baseline: coordinate descent over orders and signs, from the identity, in random order of the layers.

Kept as it was described, to compare with: one start, stopping when nothing changes, positive scales as they are.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .._types import Params
from ..gauge import Element, compose, identity
from ..spec import SymmetrySpec
from ._align import _same_number, _stacked
from ._carriers import Family
from ._costs import Choice, pair_costs, products
from ._descent import changes, element_of, move, problem, with_inside

MOST_SWEEPS = 1000
"""Sweeps over all layers at most, as in the paper's code; it ends after a few."""


def linear_assignment(
    a: Mapping[str, Tensor], b: Mapping[str, Tensor], spec: SymmetrySpec, *, seed: int = 0
) -> Element:
    """The element that the linear assignment of arXiv:2511.12601 finds for moving ``b`` towards ``a``.

    Each sweep visits the layers in a random order, a pair's own; a layer is matched exactly over order and signs by
    an assignment on the magnitudes of the products (Proposition 1), all else held. It ends when a sweep changes
    nothing. To align networks use :func:`weightspace.align`: it starts better, matches scales too, and proves
    its result.

    Args:
        a: Parameters of the network to match to, or of stacked networks.
        b: Parameters of the network to move, as many.
        spec: The symmetry of both; take signs out with :func:`weightspace.alignment.without_scales`.
        seed: Of the order of the layers.

    Raises:
        SpecMismatch: if the parameters do not fit the spec, differ in number, or are not finite.

    Source: arXiv:2511.12601, section 2, from the description. A product of exactly 0 gets the sign 1: with the sign 0
    the neuron would be gone.
    """
    single = _same_number(a, b, spec) is None
    task = problem(_stacked(a, spec, single), _stacked(b, spec, single), spec)
    element, moved = identity(spec).expand(task.num), dict(task.right)
    generator = torch.Generator().manual_seed(seed)
    active = torch.ones(task.num, dtype=torch.bool)
    for _ in range(MOST_SWEEPS):
        visits = torch.rand(task.num, len(task.families), generator=generator).argsort(-1)
        changed = torch.zeros(task.num, dtype=torch.bool)
        for turn in range(len(task.families)):
            for place, (family, part) in enumerate(zip(task.families, task.parts, strict=True)):
                which = (active & (visits[:, turn] == place)).nonzero()[:, 0]
                if not len(which):
                    continue
                here, there = ({n: value[n][which] for n in part.axes} for value in (task.left, moved))
                step = _step(here, there, spec, family)
                for name, value in move(step, there, part).items():
                    moved[name] = moved[name].index_copy(0, which, value)
                element = element.put(which, compose(step, element[which]))
                changed[which] |= changes(step)
        active = changed
        if not bool(active.any()):
            break
    return element[0] if single else element


def _step(left: Params, right: Params, spec: SymmetrySpec, family: Family) -> Element:
    """The best order and signs of one layer, by products in float64."""
    costs: dict[str, Tensor | None] = {}
    choices: dict[str, Choice] = {}
    for each in with_inside(family):
        found = products(left, right, each.carriers, dtype=torch.float64)
        # Norms do not depend on order and signs: the smallest distance is the largest product.
        costs[each.space], choices[each.space] = pair_costs(found, each, sizes=False)
    return element_of(family, costs, choices, spec, len(next(iter(left.values()))))
