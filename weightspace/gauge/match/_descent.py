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

ENOUGH = 2e-3
"""Gain of a turn of all families, relative to the squared distance that is left, at which matching ends where scales
are open: what order has left to gain is far less than what the scales gave."""

SETTLED = 1e-5
"""Gain of a sweep over all scales, relative to the squared norms, at which they have settled."""

NEAR = 1e-3
"""Squared distance, relative to the squared norm, at which two networks may be one."""


def descend(task: Problem, start: Element) -> tuple[Element, Float[Tensor, " b"]]:
    """Elements at which no family can be matched better, from ``start``, and the squared distances there.

    Where scales have sizes, these settle and families are matched over order and signs, in turns, until a turn gains
    next to nothing; in single precision, since what decides is far larger. Networks that may be one are matched once
    more over order, signs and scales at once. No step makes the distance larger, and it ends, since a step that gains
    nothing is not taken. Families that differ by no more than the rounding of the problem are left alone.
    """
    if not any(family.sizes for family in task.families):
        state = Descent(task, start)
        state.match("signs")
        return state.element, total(state.far, task.num)
    left, right = task.single
    state = Descent(replace(task, left=left, right=right), start)
    state.match_with_sizes("signs")
    state = Descent(task, state.element)
    near = total(state.far, task.num) < NEAR * task.size
    if bool(near.any()):
        state.match_with_sizes("pairs", near)
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
        self,
        scales: Scales,
        *,
        which: Bool[Tensor, " b"] | None = None,
        dtype: torch.dtype | None = None,
        most: int = MOST_SWEEPS,
    ) -> None:
        """Match family after family until none gains.

        Args:
            scales: See :func:`match_family`.
            which: The pairs that are matched; by default all.
            dtype: Of the products; by default float32 where they decide places and signs only.
            most: Turns of every family at most.
        """
        task = self.task
        todo = self._open()
        if which is not None:
            todo &= which.unsqueeze(-1)
        for _ in range(most):
            for place in range(len(task.families)):
                some = todo[:, place].nonzero()[:, 0]
                if len(some) == 0:
                    continue
                todo[:, place] = False
                least = GAIN * total(self.far, task.num)[some]
                better = self.step(place, some, scales, least, dtype)
                if not len(better):
                    continue
                touched = set(task.parts[place].axes)
                for other, family in enumerate(task.families):
                    # One that shares no parameter has nothing new to see; one that meets itself looks again.
                    if touched & set(family.params) and (other != place or _meets_itself(family)):
                        todo[better, other] = True
            if not bool(todo.any()):
                break

    def match_with_sizes(self, scales: Scales, which: Bool[Tensor, " b"] | None = None) -> None:
        """Settle the scales of matched neurons and match neurons once each, in turns, until a turn gains too little."""
        which = torch.ones(self.task.num, dtype=torch.bool) if which is None else which
        for _ in range(MOST_SWEEPS):
            self.settle(which)
            before = total(self.far, self.task.num)
            self.match(scales, which=which, most=1)
            after = total(self.far, self.task.num)
            which = which & (before - after > ENOUGH * after)
            if not bool(which.any()):
                break

    def settle(self, which: Bool[Tensor, " b"]) -> None:
        """Rescale the matched neurons of the pairs ``which``, family after family, until they have settled."""
        task = self.task
        some = (self._open().any(1) & which).nonzero()[:, 0]
        if not len(some):
            return
        part = SymmetrySpec(task.spec.spaces, tuple(item for item in task.spec.params if item[0] in task.weighed))
        here, there = (self._of(params, part, some) for params in (task.left, self.moved))
        settling = Settling(here, there, part, task.families)
        moving = torch.ones(len(some), dtype=torch.bool)
        for _ in range(MOST_SWEEPS):
            moving &= settling.sweep(moving) > SETTLED * task.size[some]
            if not bool(moving.any()):
                break
        self._take(settling.element, some, task.spec, torch.zeros(len(some), dtype=torch.float64))

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
