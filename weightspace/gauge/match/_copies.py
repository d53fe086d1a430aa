"""Which neuron of one network is which of another one that may be a copy of it: order and signs alone.

Sizes are balanced already. Every parameter counts in units of its own size, so that what rounding does to large ones
does not hide the small ones. Numbers of two networks that are one need no more than float32 to be told apart, but for
near duplicates among their neurons: what float32 leaves open is matched once more in float64.
"""

from dataclasses import replace

import torch
from torch import Tensor

from ..._types import Params
from ...spec import SymmetrySpec
from .._element import Element, compose
from ._carriers import Family, with_inside
from ._costs import norms
from ._descent import Descent
from ._problem import Problem, problem, total
from ._starts import Progress, begin, best_start
from ._step import match_family, move

PASSES = 10

ROUNDING = 1e-12
"""Squared distance, relative to the squared norm, that float32 explains."""

CLEAR = 1e-3
"""The same, beyond which a search from elsewhere is worth its time."""

ALIKE = 0.5
"""The same, below which most neurons of two networks agree: nearly always copies of which a few are out of place."""

RESTARTS = 3
"""Random places from which such networks are matched once more, and every sweep."""

NEAR = 0.1
"""The same, of two networks that may be one: rounded to very few bits at most."""


SMALL = 1e-3
"""Norm of a neuron, relative to the largest of its family, below which single precision may overlook it."""


def matched(left: Params, right: Params, spec: SymmetrySpec, progress: Progress | None = None) -> Element:
    """The element of permutations and signs that brings ``left`` near ``right``.

    Args:
        left: One network in the balanced gauge.
        right: Another one.
        spec: The symmetry of both.
        progress: Called with the families of spaces that are matched, and their number.
    """
    # The larger of both, though copies are of one size: of others products would leave float32.
    units = {name: torch.maximum(_unit(left[name]), _unit(value)) for name, value in right.items()}

    def in_units(params: Params, dtype: torch.dtype) -> Params:
        floats = {name: (value / units[name]).to(dtype) for name, value in params.items() if value.is_floating_point()}
        return {name: floats.get(name, value).unsqueeze(0) for name, value in params.items()}

    task = problem(in_units(right, torch.float32), in_units(left, torch.float32), spec, ROUNDING)
    start, _, _ = begin(task, NEAR, progress=progress)
    state = Descent(task, start)
    state.match("signs", most=PASSES)
    far, size = float(total(state.far, 1)), float(task.size)
    if far > CLEAR * size:  # the sweeps lost their way: as networks are matched that are no copies
        other, reached, _ = best_start(task, RESTARTS if far < ALIKE * size else 0, 0)
        if float(reached) < far:
            state, far = Descent(task, other), float(reached)
    if ROUNDING * size < far <= NEAR * size:
        wide = replace(task, left=in_units(right, torch.float64), right=in_units(left, torch.float64))
        state = Descent(wide, state.element)
        state.match("signs", dtype=torch.float64, most=PASSES)
    uneven = [family for family in task.families if any(_uneven(task.left, each) for each in with_inside(family))]
    if not uneven or far > NEAR * size:
        return state.element[0]
    wide = replace(task, left=in_units(right, torch.float64), right=in_units(left, torch.float64))
    return _small_neurons(wide, uneven, state.element)[0]


def _small_neurons(task: Problem, uneven: list[Family], element: Element) -> Element:
    """``element``, with families whose neurons are of very different sizes matched once more, each neuron alike.

    What tells two neurons apart that weight decay has nearly taken away is less than the rounding of the others.
    """
    moved = move(element, task.right, task.spec)
    for family in uneven:
        part = task.parts[task.families.index(family)]
        inside = {name: moved[name] for name in part.axes}
        step = match_family(task.left, inside, task.spec, family, "signs", dtype=torch.float64, even=True)
        moved |= move(step, inside, part)
        element = compose(step, element)
    return element


def _uneven(params: Params, family: Family) -> bool:
    if not family.carriers:
        return False
    sizes = norms(params, family.carriers)
    alive = sizes[sizes > 0]
    return bool(len(alive)) and float(alive.min()) < SMALL**2 * float(alive.max())


def _unit(value: Tensor) -> Tensor:
    """Root mean square, or 1."""
    size = torch.linalg.vector_norm(value.double()) / max(value.numel(), 1) ** 0.5
    return size if size > 0 else torch.ones_like(size)
