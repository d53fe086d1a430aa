"""The gauge in parts: one neuron space and one group at a time, and groups that the spec does not have."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, final

from ..spec import NeuronSpace, ScaleName, SymmetrySpec

Group = Literal["permutation", "sign", "positive scale", "all"]

_SCALES: dict[Group, ScaleName] = {"sign": "sign", "positive scale": "positive"}
_EVERY: tuple[Group, ...] = ("permutation", "sign", "positive scale")
_HAVE: dict[ScaleName, tuple[Group, ...]] = {
    "trivial": (),
    "sign": ("sign",),
    "positive": ("positive scale",),
    "nonzero": ("sign", "positive scale"),
}


@final
@dataclass(frozen=True)
class Subgroup:
    """Changes of one space by one group; all others stay.

    Attributes:
        space: Name of the space, ``all`` for the whole gauge.
        group: What changes.
        member: Whether the audited spec has it. What it has not must be noticed by a metanetwork that respects it.
        spec: The spec to draw elements from and to act with.
    """

    space: str
    group: Group
    member: bool
    spec: SymmetrySpec


def subgroups(spec: SymmetrySpec) -> Iterator[Subgroup]:
    """Every group of every space, those of the spec first, the whole gauge last of these; then those it lacks."""
    members: list[tuple[NeuronSpace, Group]] = [(space, group) for space in spec.free for group in _groups(spec, space)]
    for space, group in members:
        yield Subgroup(space.name, group, True, _only(spec, space, group))
    if members:
        yield Subgroup("all", "all", True, spec)
    for space in spec.spaces:
        for group in _EVERY:
            bound = space.like or space.within
            if (space, group) not in members and (group != "permutation" or not bound) and space.size > 1:
                yield Subgroup(space.name, group, False, _only(spec, space, group))


def _groups(spec: SymmetrySpec, space: NeuronSpace) -> Iterator[Group]:
    inner = space.size // spec.space[space.within].size if space.within else space.size
    if inner > 1 and not (space.like or space.along or space.ordered):
        yield "permutation"
    yield from _HAVE[space.scale]


def _only(spec: SymmetrySpec, one: NeuronSpace, group: Group) -> SymmetrySpec:
    """The spec with this group of this space alone; spaces that are like or within it follow."""
    spaces = []
    for space in spec.spaces:
        if space.name != one.name:
            spaces.append(replace(space, scale="trivial", ordered=True))
        elif group == "permutation":
            spaces.append(replace(space, scale="trivial", ordered=False, fixed=False))
        else:
            spaces.append(replace(space, scale=_SCALES[group], ordered=True, fixed=False))
    return replace(spec, spaces=tuple(spaces))
