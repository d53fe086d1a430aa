"""Coordinate descent: one family of spaces after the other is matched exactly while the others stay."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ..._types import Params
from ...spec import SymmetrySpec
from .._element import Element, compose
from ._carriers import Family, with_inside
from ._problem import Problem, distances, total
from ._step import Scales, changes, match_family, move

MOST_SWEEPS = 100
"""Descent stops by itself; this bounds it where rounding goes on finding gains."""

GAIN = 1e-6
"""Smallest gain of a step, relative to the squared norms, for which neurons change places; above float32 rounding."""

SETTLED = 1e-7
"""Gain of a sweep over all scales at which they have settled well enough to match neurons again."""

EXACT = 1e-14
"""The same at the end of a descent."""


def descend(task: Problem, start: Element) -> tuple[Element, Float[Tensor, " b"]]:
    """Elements at which no family can be matched better, from ``start``, and the squared distances there.

    First order and signs, with the scales of the balanced gauge; then the scales of matched neurons settle, and whole
    families are matched over order, signs and scales at once, in turns until no neuron changes its place. No step
    makes the distance larger, and it ends, since a step that gains nothing is not taken.
    """
    state = _State(task, start)
    state.match("signs")
    if any(family.sizes for family in task.families):
        for _ in range(MOST_SWEEPS):
            state.settle(SETTLED)
            if not state.match("pairs", once=True):
                break
        state.settle(EXACT)
    return state.element, total(state.far, task.num)


@final
class _State:
    """Where a descent stands: the element so far, the networks moved by it, and how far each parameter is."""

    def __init__(self, task: Problem, start: Element) -> None:
        self.task = task
        self.element = start
        self.moved = move(start, task.right, task.spec)
        self.far = distances(task.left, self.moved, task.weighed)

    def match(self, scales: Scales, *, once: bool = False) -> bool:
        """Match family after family until none gains, or once each; whether any gained."""
        task, gained = self.task, False
        todo = torch.ones(task.num, len(task.families), dtype=torch.bool)
        for _ in range(1 if once else MOST_SWEEPS):
            for place in range(len(task.families)):
                which = todo[:, place].nonzero()[:, 0]
                if len(which) == 0:
                    continue
                todo[:, place] = False
                better = self.step(place, which, scales, GAIN)
                if not len(better):
                    continue
                gained = True
                touched = set(task.parts[place].axes)
                for other, family in enumerate(task.families):
                    # One that shares no parameter has nothing new to see; one that meets itself looks again.
                    if touched & set(family.params) and (other != place or _meets_itself(family)):
                        todo[better, other] = True
            if not bool(todo.any()):
                break
        return gained

    def settle(self, least: float) -> None:
        """Rescale matched neurons, family after family, until no step gains more than ``least``."""
        which = torch.arange(self.task.num)
        for _ in range(MOST_SWEEPS):
            moving = torch.zeros(self.task.num, dtype=torch.bool)
            for place, family in enumerate(self.task.families):
                if any(each.sizes for each in with_inside(family)) and len(which):
                    moving[self.step(place, which, "own", least)] = True
            which = moving.nonzero()[:, 0]
            if not len(which):
                break

    def step(self, place: int, which: Tensor, scales: Scales, least: float) -> Tensor:
        """Match one family of the pairs ``which``; returns those for which the distance fell."""
        task, part = self.task, self.task.parts[place]
        here, there = self._of(task.left, part, which), self._of(self.moved, part, which)
        step = match_family(here, there, task.spec, task.families[place], scales, least * task.size[which])
        changed = changes(step)
        if not bool(changed.all()):
            which, step = which[changed], step[changed]
            if not len(which):
                return which
            here, there = ({name: value[changed] for name, value in params.items()} for params in (here, there))
        new = move(step, there, part)
        far = distances(here, new, task.weighed)
        gain = torch.stack([self.far[name][which] - value for name, value in far.items()]).sum(0)
        better = gain > least * task.size[which]
        chosen = which[better]
        if not len(chosen):
            return chosen
        for name, value in new.items():
            every = len(chosen) == task.num
            self.moved[name] = value if every else self.moved[name].index_copy(0, chosen, value[better])
        for name, value in far.items():
            self.far[name] = self.far[name].index_copy(0, chosen, value[better])
        self.element = self.element.put(chosen, compose(step[better], self.element[chosen]))
        return chosen

    def _of(self, params: Params, part: SymmetrySpec, which: Tensor) -> Params:
        if len(which) == self.task.num:
            return {name: params[name] for name in part.axes}
        return {name: params[name][which] for name in part.axes}


def _meets_itself(family: Family) -> bool:
    seen = [carrier.param for each in with_inside(family) for carrier in each.carriers]
    return len(seen) > len(set(seen))
