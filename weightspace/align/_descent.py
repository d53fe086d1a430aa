"""Coordinate descent: one family of spaces after the other is matched exactly while the others stay."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

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

MOST_SWEEPS = 100
"""Descent stops by itself; this bounds it where rounding goes on finding gains."""

LAST_SWEEPS = 3
"""Sweeps in which any gain counts, at the end: they settle the last digits of the scales."""

GAIN = 1e-9
"""Smallest gain of a step, relative to the squared norms, that counts: below it are rounding and ties."""


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """Two stacks of networks in a common gauge, and which entries move together.

    Attributes:
        left: The networks to match to.
        right: The networks to move.
        spec: The symmetry of all.
        families: See :func:`weightspace.align._carriers.families`.
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
    def size(self) -> Float[Tensor, " b"]:
        """Squared norm of each network of the left over the entries that count."""
        return distance(self.left, {name: torch.zeros_like(v) for name, v in self.left.items()}, self.weighed)


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


def distance(left: Mapping[str, Tensor], right: Mapping[str, Tensor], names: frozenset[str]) -> Float[Tensor, " b"]:
    """Squared distance of two stacks over the named parameters."""
    gaps = [(left[name] - right[name]).square().reshape(len(left[name]), -1).sum(-1) for name in left if name in names]
    return torch.stack(gaps).sum(0).double() if gaps else torch.zeros(len(next(iter(left.values()))))


def descend(task: Problem, start: Element, *, last: bool = False) -> tuple[Element, Float[Tensor, " b"]]:
    """Elements at which no family can be matched better, from ``start``, and the squared distances there.

    No step makes the distance larger, and it ends, since a step that gains nothing is not taken.

    Args:
        task: The pairs.
        start: One element for each.
        last: A few sweeps only, in which gains below rounding count as well.
    """
    element = start
    moved = act(start, task.right, task.spec)
    todo = torch.ones(task.num, len(task.families), dtype=torch.bool)
    for _ in range(LAST_SWEEPS if last else MOST_SWEEPS):
        for place in range(len(task.families)):
            which = todo[:, place].nonzero()[:, 0]
            if len(which) == 0:
                continue
            todo[:, place] = False
            part = task.parts[place]
            names = {name: moved[name][which] if len(which) < task.num else moved[name] for name in part.axes}
            here = {name: task.left[name][which] if len(which) < task.num else task.left[name] for name in part.axes}
            step = match_family(here, names, task.spec, task.families[place])
            new = act(step, names, part)
            weighed = task.weighed & set(part.axes)
            gain = distance(here, names, weighed) - distance(here, new, weighed)
            better = gain > (0.0 if last else GAIN) * task.size[which]
            if not bool(better.any()):
                continue
            chosen = which[better]
            for name, value in new.items():
                if len(chosen) == task.num:
                    moved[name] = value
                else:
                    moved[name] = moved[name].index_copy(0, chosen, value[better])
            element = _replace(element, compose(_rows(step, better), _rows(element, chosen)), chosen)
            touched = set(part.axes)
            for other, family in enumerate(task.families):
                # A family that shares no parameter has nothing new to see; one that meets itself looks again.
                if touched & set(family.params) and (other != place or _meets_itself(family)):
                    todo[chosen, other] = True
        if not bool(todo.any()):
            break
    return element, distance(task.left, moved, task.weighed)


def match_family(
    left: Mapping[str, Tensor], right: Mapping[str, Tensor], spec: SymmetrySpec, family: Family
) -> Element:
    """The element of one family, all else left alone, that brings ``right`` nearest to ``left``."""
    costs: dict[str, Tensor | None] = {}
    choices: dict[str, Choice] = {}
    for each in with_inside(family):
        costs[each.space], choices[each.space] = pair_costs(products(left, right, each.carriers), each)
    return element_of(family, costs, choices, spec, len(next(iter(left.values()))))


def element_of(
    family: Family, costs: dict[str, Tensor | None], choices: dict[str, Choice], spec: SymmetrySpec, num: int
) -> Element:
    """The cheapest element, given the costs of all pairs and the scales that suit each pair."""
    sizes = {space.name: space.size for space in spec.spaces}
    if family.ordered:
        found = plan(family, costs, num, sizes)
        fixed = spec.space[family.space].within
        chosen = assign(_within_blocks(found.costs, sizes[fixed]) if fixed is not None else found.costs)
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


def _rows(element: Element, which: Bool[Tensor, " b"] | Tensor) -> Element:
    return Element(
        {name: value[which] for name, value in element.perm.items()},
        {name: value[which] for name, value in element.scale.items()},
    )


def _replace(element: Element, new: Element, which: Tensor) -> Element:
    return Element(
        {name: value.index_copy(0, which, new.perm[name]) for name, value in element.perm.items()},
        {name: value.index_copy(0, which, new.scale[name]) for name, value in element.scale.items()},
    )
