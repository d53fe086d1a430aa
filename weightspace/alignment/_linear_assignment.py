"""The published baseline: coordinate descent over orders and signs, from the identity, in random order of the layers.

Kept as it was described, to compare with: one start, stopping when nothing changes, positive scales as they are.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..gauge import Element, compose, identity
from ..gauge.match import best_signs, changes, move, problem
from ..spec import SymmetrySpec
from ._stacks import same_number, stacked

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
        spec: The symmetry of both; take signs out with :func:`weightspace.spec.without_scales`.
        seed: Of the order of the layers.

    Raises:
        SpecMismatch: if the parameters do not fit the spec, differ in number, or are not finite.

    Source: arXiv:2511.12601, section 2, from the description. A product of exactly 0 gets the sign 1: with the sign 0
    the neuron would be gone.
    """
    single = same_number(a, b, spec) is None
    task = problem(stacked(a, spec, single), stacked(b, spec, single), spec)
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
                step = best_signs(here, there, spec, family)
                for name, value in move(step, there, part).items():
                    moved[name] = moved[name].index_copy(0, which, value)
                element = element.put(which, compose(step, element[which]))
                changed[which] |= changes(step)
        active = changed
        if not bool(active.any()):
            break
    return element[0] if single else element
