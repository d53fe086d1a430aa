"""Coordinate descent: one family of spaces after the other is matched exactly while the others stay."""

from dataclasses import replace
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..._types import Params
from ...spec import SymmetrySpec
from .._element import Element, compose
from ._carriers import Family, with_inside
from ._problem import Problem, distances, total
from ._settle import Settling
from ._step import Scales, changes, match_family, move

MOST_SWEEPS = 100
"""Descent stops by itself; this bounds it where rounding goes on finding gains."""

GAIN = 1e-6
"""Smallest gain of a step, relative to the squared distance that is left, for which neurons change places."""

SETTLED = 1e-7
"""Gain of a sweep over all scales, relative to the squared norms, at which they have settled well enough to match
neurons again."""

EXACT = 1e-14
"""The same at the end of a descent."""


def descend(task: Problem, start: Element) -> tuple[Element, Float[Tensor, " b"]]:
    """Elements at which no family can be matched better, from ``start``, and the squared distances there.

    First order and signs, with the scales of the balanced gauge; then the scales of matched neurons settle, and whole
    families are matched over order, signs and scales at once, in turns until no neuron changes its place. No step
    makes the distance larger, and it ends, since a step that gains nothing is not taken. Families that differ by no
    more than the rounding of the problem are left alone.
    """
    sized = any(family.sizes for family in task.families)
    if sized:  # what is matched now is matched once more with its sizes: single precision will do
        left, right = task.single
        single = Descent(replace(task, left=left, right=right), start)
        single.match("signs")
        start = single.element
    state = Descent(task, start)
    if not sized:
        state.match("signs")
    else:
        for _ in range(MOST_SWEEPS):
            state.settle(SETTLED)
            if not state.match("pairs", once=True):
                break
        state.settle(EXACT)
    return state.element, total(state.far, task.num)


@final
class Descent:
    """Where a descent stands: the element so far, the networks moved by it, and how far each parameter is."""

    def __init__(self, task: Problem, start: Element) -> None:
        self.task = task
        self.element = start
        self.moved = move(start, task.right, task.spec)
        self.far = distances(task.left, self.moved, task.weighed)

    def match(
        self, scales: Scales, *, once: bool = False, dtype: torch.dtype | None = None, most: int = MOST_SWEEPS
    ) -> bool:
        """Match family after family until none gains, or once each; whether any gained.

        Args:
            scales: See :func:`match_family`.
            once: One turn of every family.
            dtype: Of the products; by default float32 where they decide places and signs only.
            most: Turns of every family at most.
        """
        task, gained = self.task, False
        todo = self._open()
        for _ in range(1 if once else most):
            for place in range(len(task.families)):
                which = todo[:, place].nonzero()[:, 0]
                if len(which) == 0:
                    continue
                todo[:, place] = False
                least = GAIN * total(self.far, task.num)[which]
                better = self.step(place, which, scales, least, dtype)
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
        """Rescale matched neurons, family after family, until no turn of all gains more than ``least``."""
        task = self.task
        which = self._open().any(1).nonzero()[:, 0]
        if not len(which):
            return
        part = SymmetrySpec(task.spec.spaces, tuple(item for item in task.spec.params if item[0] in task.weighed))
        here, there = (self._of(params, part, which) for params in (task.left, self.moved))
        settling = Settling(here, there, part, task.families)
        for _ in range(MOST_SWEEPS):
            if bool((settling.sweep() <= least * task.size[which]).all()):
                break
        self._take(settling.element, which, task.spec, torch.zeros(len(which), dtype=torch.float64))

    def step(
        self,
        place: int,
        which: Int[Tensor, " c"],
        scales: Scales,
        least: Float[Tensor, " c"],
        dtype: torch.dtype | None = None,
    ) -> Int[Tensor, " d"]:
        """Match one family of the pairs ``which``; returns those whose distance fell by more than ``least``."""
        task, part = self.task, self.task.parts[place]
        here, there = self._of(task.left, part, which), self._of(self.moved, part, which)
        step = match_family(here, there, task.spec, task.families[place], scales, least, dtype)
        changed = changes(step)
        if not bool(changed.all()):
            which, step, least = which[changed], step[changed], least[changed]
            if not len(which):
                return which
        return self._take(step, which, part, least)

    def _take(
        self, step: Element, which: Int[Tensor, " c"], part: SymmetrySpec, least: Float[Tensor, " c"]
    ) -> Int[Tensor, " d"]:
        """Move the pairs ``which`` that a step of one part brings nearer by more than ``least``; returns these."""
        task = self.task
        here, there = self._of(task.left, part, which), self._of(self.moved, part, which)
        new = move(step, there, part)
        far = distances(here, new, task.weighed)
        gain = torch.stack([self.far[name][which] - value for name, value in far.items()]).sum(0)
        better = gain > least
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

    def _open(self) -> Bool[Tensor, "b _f"]:
        """By pair and family, whether any parameter of it differs by more than rounding."""
        sizes, rounding = self.task.sizes, self.task.rounding
        differs = {name: far > rounding * sizes[name] for name, far in self.far.items()}
        none = torch.zeros(self.task.num, dtype=torch.bool)
        found = [[differs[name] for name in part.axes if name in differs] for part in self.task.parts]
        return torch.stack([none, *(torch.stack([none, *each]).any(0) for each in found)], 1)[:, 1:]

    def _of(self, params: Params, part: SymmetrySpec, which: Tensor) -> Params:
        if len(which) == self.task.num:
            return {name: params[name] for name in part.axes}
        return {name: params[name][which] for name in part.axes}


def _meets_itself(family: Family) -> bool:
    seen = [carrier.param for each in with_inside(family) for carrier in each.carriers]
    return len(seen) > len(set(seen))
