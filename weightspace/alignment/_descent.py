"""Coordinate descent: one family of spaces after the other is matched exactly while the others stay."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .._types import Params
from ..gauge import Element, act, compose
from ..gauge.canonical import arrange
from ..spec import SymmetrySpec
from ._assign import assign, orders, plan
from ._carriers import Family, families
from ._costs import Choice, pair_costs, products

Scales = Literal["signs", "pairs", "own"]

MOST_SWEEPS = 100
"""Descent stops by itself; this bounds it where rounding goes on finding gains."""

GAIN = 1e-6
"""Smallest gain of a step, relative to the squared norms, for which neurons change places; above float32 rounding."""

SETTLED = 1e-7
"""Gain of a sweep over all scales at which they have settled well enough to match neurons again."""

EXACT = 1e-14
"""The same at the end of a descent."""


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """Two stacks of networks in a common gauge, and which entries move together.

    Attributes:
        left: The networks to match to.
        right: The networks to move.
        spec: The symmetry of all.
        families: See :func:`weightspace.alignment._carriers.families`.
        weighed: Parameters whose distance counts.
        parts: By family, the spec of what a step of it changes.
    """

    left: Params
    right: Params
    spec: SymmetrySpec
    families: tuple[Family, ...]
    weighed: frozenset[str]
    parts: tuple[SymmetrySpec, ...]

    @property
    def num(self) -> int:
        """Pairs of networks."""
        return len(next(iter(self.left.values())))

    @cached_property
    def single(self) -> tuple[Params, Params]:
        """Both stacks in float32, where a comparison decides nothing that rounding could."""
        left, right = (
            {name: value.float() if value.is_floating_point() else value for name, value in params.items()}
            for params in (self.left, self.right)
        )
        return left, right

    @cached_property
    def sizes(self) -> dict[str, Float[Tensor, " b"]]:
        """Squared norm of each parameter that counts, in each network of the left."""
        return {
            name: torch.linalg.vector_norm(value.reshape(len(value), -1), dim=1).double().square()
            for name, value in self.left.items()
            if name in self.weighed
        }

    @property
    def size(self) -> Float[Tensor, " b"]:
        """Squared norm of each network of the left over the entries that count."""
        return _sum(self.sizes, self.num)


def problem(left: Params, right: Params, spec: SymmetrySpec) -> Problem:
    """The matching problem of two stacks ``[b, ...]`` of float networks."""
    found = families(spec)
    weighed = frozenset(
        name
        for name, axes in spec.params
        if left[name].is_floating_point()
        and not any(part.offset or abs(part.power) > 1 for axis in axes for part in axis.parts)
    )
    parts = tuple(
        SymmetrySpec(spec.spaces, tuple((name, axes) for name, axes in spec.params if name in family.params))
        for family in found
    )
    return Problem(left, right, spec, found, weighed, parts)


def distances(
    left: Mapping[str, Tensor], right: Mapping[str, Tensor], names: frozenset[str]
) -> dict[str, Float[Tensor, " b"]]:
    """Squared distance of two stacks by parameter, for those among the names that the second one has."""
    return {
        name: torch.linalg.vector_norm((left[name] - value).reshape(len(value), -1), dim=1).double().square()
        for name, value in right.items()
        if name in names
    }


def distance(left: Mapping[str, Tensor], right: Mapping[str, Tensor], names: frozenset[str]) -> Float[Tensor, " b"]:
    """Squared distance of two stacks over the named parameters."""
    return _sum(distances(left, right, names), len(next(iter(left.values()))))


def _sum(found: dict[str, Float[Tensor, " b"]], num: int) -> Float[Tensor, " b"]:
    return torch.stack([torch.zeros(num, dtype=torch.float64), *found.values()]).sum(0)


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
    return state.element, _sum(state.far, task.num)


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


def move(element: Element, params: Params, spec: SymmetrySpec) -> Params:
    """Stacked networks moved one by one; a stack of one several times as fast as by :func:`weightspace.act`."""
    if all(len(perm) == 1 for perm in element.perm.values()):
        element = element[0]
    return act(element, params, spec)


def match_family(
    left: Mapping[str, Tensor],
    right: Mapping[str, Tensor],
    spec: SymmetrySpec,
    family: Family,
    scales: Scales = "pairs",
    least: Float[Tensor, " b"] | None = None,
) -> Element:
    """The element of one family, all else left alone, that brings ``right`` nearest to ``left``.

    Args:
        left: Stacked networks to match to.
        right: As many to move; parameters of the family at least.
        spec: The symmetry of all.
        family: What is matched.
        scales: ``"signs"``: positive scales stay; ``"pairs"``: the best for every pair of neurons; ``"own"``: the best
            for every neuron where it is.
        least: Gains of no more are none: the neurons stay where they are.
    """
    costs: dict[str, Tensor | None] = {}
    choices: dict[str, Choice] = {}
    # Places and signs are chosen in single precision: a step must gain more than its rounding.
    dtype = torch.float32 if scales == "signs" else torch.float64
    for each in with_inside(family):
        found = products(left, right, each.carriers, own=scales == "own", dtype=dtype)
        costs[each.space], choices[each.space] = pair_costs(found, each, sizes=scales != "signs")
    num = len(next(iter(left.values())))
    if scales == "own":
        return _in_place(choices, spec, num)
    return element_of(family, costs, choices, spec, num, least)


def _in_place(choices: dict[str, Choice], spec: SymmetrySpec, num: int) -> Element:
    perm = {space.name: torch.arange(space.size).expand(num, -1) for space in spec.free}
    scale = {space.name: torch.ones(num, space.size, dtype=torch.float64) for space in spec.free}
    for choice in choices.values():
        scale |= {name: value.double().reshape(num, -1) for name, value in choice.items()}
    return Element(perm, scale)


def element_of(
    family: Family,
    costs: dict[str, Tensor | None],
    choices: dict[str, Choice],
    spec: SymmetrySpec,
    num: int,
    least: Float[Tensor, " b"] | None = None,
) -> Element:
    """The cheapest element, given the costs of all pairs and the scales that suit each pair."""
    sizes = {space.name: space.size for space in spec.spaces}
    if family.ordered:
        found = plan(family, costs, num, sizes)
        fixed = spec.space[family.space].within
        chosen = assign(_within_blocks(found.costs, sizes[fixed]) if fixed is not None else found.costs, least)
        places = orders(found, chosen)
    else:
        places = {family.space: torch.arange(sizes[family.space]).expand(num, -1)}
    keys = {space.name: torch.arange(space.size).double().expand(num, -1) for space in spec.free}
    keys |= {name: order.argsort(-1).double() for name, order in places.items() if name in keys}
    perm = arrange(spec, keys, num)
    scale = {space.name: torch.ones(num, space.size, dtype=torch.float64) for space in spec.free}
    for name, choice in choices.items():
        for space, value in choice.items():
            scale[space] = value.double().gather(-1, places[name].unsqueeze(-1))[..., 0]
    return Element(perm, scale)


def _within_blocks(costs: Float[Tensor, "b n n"], num: int) -> Tensor:
    """The costs, with no way out of a block: the space around it does not move."""
    block = torch.arange(costs.shape[-1]) // (costs.shape[-1] // num)
    most = costs.abs().amax((-1, -2), keepdim=True) * costs.shape[-1] + 1
    return costs.where(block.unsqueeze(-1) == block, most)


def with_inside(family: Family) -> list[Family]:
    """A family and all families inside its neurons."""
    return [family, *(each for inner in family.inside for each in with_inside(inner))]


def _meets_itself(family: Family) -> bool:
    seen = [carrier.param for each in with_inside(family) for carrier in each.carriers]
    return len(seen) > len(set(seen))


def changes(element: Element) -> Bool[Tensor, " b"]:
    """By network, whether the element changes anything."""
    moved = [(perm != torch.arange(perm.shape[-1])).any(-1) for perm in element.perm.values()]
    return torch.stack([*moved, *((scale != 1).any(-1) for scale in element.scale.values())]).any(0)
