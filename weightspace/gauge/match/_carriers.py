"""Which entries carry a neuron: for every space the parameter axes that move with it, as index tables.

Matching compares neurons by everything that carries them: fan-in, bias, fan-out, gains of a normalization. A *carrier*
is one label of one parameter, seen from one space: row ``i`` of its table holds the entries of neuron ``i``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...spec import Axis, SymmetrySpec
from ..index import Owners, has_own_order, owners, places

Signs = tuple[str, ...]
Powers = tuple[tuple[str, int], ...]
Label = tuple[Owners, dict[str, Tensor]]
"""A label of a parameter, and the neurons of spaces with an order of their own that say where its entries stand."""


@final
@dataclass(frozen=True, eq=False)
class Carrier:
    """One label of one parameter, seen from one space.

    Attributes:
        param: Name of the parameter.
        dims: Axes of the parameter along which the neuron is read, in order; nearly always one.
        index: For each neuron its entries, as places along ``dims`` (flattened).
        parity: Spaces of this family whose sign multiplies the entries.
        powers: Spaces of this family whose size multiplies the entries, and the power.
        others: By axis of the parameter, the other spaces that say the order or the sign there. It may be one of
            ``dims``: of the neurons of a block, the places inside it, and signs that stand beside the neuron's own.
    """

    param: str
    dims: tuple[int, ...]
    index: Int[Tensor, "n _r"]
    parity: Signs
    powers: Powers
    others: dict[int, frozenset[str]]

    def rows(self, value: Float[Tensor, "b ..."]) -> Float[Tensor, "b n _r *_rest"]:
        """The entries of stacked parameters by neuron, the other axes after."""
        first = [dim + 1 for dim in self.dims]
        value = value.movedim(first, list(range(1, len(first) + 1))).flatten(1, len(first))
        num, each = self.index.shape
        if self.in_order and value.shape[1] == num * each:
            return value.unflatten(1, (num, each))
        return value.index_select(1, self.index.flatten()).unflatten(1, (num, each))

    @cached_property
    def in_order(self) -> bool:
        """Whether the entries come neuron by neuron."""
        return bool((self.index.flatten() == torch.arange(self.index.numel())).all())


@final
@dataclass(frozen=True, eq=False)
class Family:
    """A space with an order of its own or scales of its own, and all that carries its neurons.

    Attributes:
        space: Name of the space that holds the permutation.
        ordered: Whether its neurons are permuted by it: otherwise only scales are chosen.
        signs: Spaces of the family (itself, and those like it) with signs.
        sizes: Those with sizes.
        carriers: What carries its neurons, but for what the spaces inside its blocks carry.
        inside: Families of the spaces within its neurons.
        params: Every parameter that a step of the family, and of those inside, changes.
    """

    space: str
    ordered: bool
    signs: tuple[str, ...]
    sizes: tuple[str, ...]
    carriers: tuple[Carrier, ...]
    inside: tuple["Family", ...]
    params: tuple[str, ...]


def families(spec: SymmetrySpec) -> tuple[Family, ...]:
    """The families of a spec that no other one contains, in the order of its spaces."""
    named = {space.name for space in spec.free if has_own_order(space)}
    contained = {name for name in named if set(spec.ancestors(name)[1:]) & named}
    labels = {name: _labels(spec, name) for name in spec.axes}
    found = [_family(spec, space.name, named, labels) for space in spec.free if space.name in named - contained]
    # Scales of spaces whose neurons stay, or follow others: chosen on their own.
    alone = [space.name for space in spec.free if space.scale != "trivial" and spec.root(space.name) not in named]
    roots = list(dict.fromkeys(spec.root(name) for name in alone))
    return (*found, *(_family(spec, root, set(), labels) for root in roots))


def with_inside(family: Family) -> list[Family]:
    """A family and all families inside its neurons."""
    return [family, *(each for inner in family.inside for each in with_inside(inner))]


def scaled_space(family: Family) -> str | None:
    """The space of a family whose size has a best value in closed form: one that multiplies and divides, and alone.

    Several sizes for each neuron (around a normalization), or one that nothing divides by again, have no closed form
    or no optimum of their own; they stay as the balanced gauge has them.
    """
    powers = {power for carrier in family.carriers for power in carrier.powers}
    if len(family.sizes) != 1 or {name for name, _ in powers} != set(family.sizes):
        return None
    return family.sizes[0] if {power for _, power in powers} == {1, -1} and len(powers) == 2 else None


def _labels(spec: SymmetrySpec, name: str) -> list[Label]:
    """The labels of a parameter; none for one that does not count in the distance."""
    if any(part.offset or abs(part.power) > 1 for axis in spec.axes[name] for part in axis.parts):
        return []  # variances follow the rest, and their squares would outweigh it
    return [(owned, places(spec, str(owned.part.space), owned.neuron.clamp_min(0))[0]) for owned in owners(spec, name)]


def _family(spec: SymmetrySpec, root: str, named: set[str], every: dict[str, list[Label]]) -> Family:
    members = [space for space in spec.free if spec.root(space.name) == root]
    inside = tuple(_family(spec, name, named, every) for name in named if _parent(spec, name, named) == root)
    inside = tuple(sorted(inside, key=lambda family: [space.name for space in spec.spaces].index(family.space)))
    carriers = tuple(_carriers(spec, root, {family.space for family in inside}, bool(named), every))
    moved = {root, *(space.name for space in members)}
    touched = [carrier.param for carrier in carriers]
    touched += [name for name, axes in spec.params if any(_names(spec, axis.parts, moved) for axis in axes)]
    touched += [name for family in inside for name in family.params]
    return Family(
        root,
        bool(named),
        tuple(space.name for space in members if space.scale in ("sign", "nonzero")),
        tuple(space.name for space in members if space.scale in ("positive", "nonzero")),
        carriers,
        inside,
        tuple(dict.fromkeys(touched)),
    )


def _parent(spec: SymmetrySpec, name: str, named: set[str]) -> str | None:
    return next((other for other in spec.ancestors(name)[1:] if other in named), None)


def _names(spec: SymmetrySpec, parts: tuple[Axis, ...], moved: set[str]) -> bool:
    """Whether a label moves or is multiplied with one of the spaces."""
    for part in parts:
        if part.space is None:
            continue
        lines = {part.space, *spec.ancestors(part.space), *(scale.space for scale in part.scales)}
        around = spec.space[spec.root(part.space)]
        lines |= {other for other in (around.along, around.within) if other}
        if lines & moved:
            return True
    return False


def _carriers(
    spec: SymmetrySpec, root: str, inside: set[str], ordered: bool, every: dict[str, list[Label]]
) -> Iterator[Carrier]:
    for name, labels in every.items():
        # The neurons of a space may be spread over several parts of an axis: one table for parts scaled alike.
        tables: dict[tuple[tuple[int, ...], int, Signs, Powers, frozenset[str]], Tensor] = {}
        for owned, found in labels:
            scales = list(_scales(spec, owned.part))
            acting = [scale for scale in scales if spec.root(scale[0]) == root]
            placed = root in found if ordered else spec.root(str(owned.part.space)) == root
            if placed:
                neuron = found[root] if ordered else owned.neuron
            elif acting and (spec.space[root].size == 1 or not ordered):
                neuron = owned.of(spec, root)  # it scales what others place
            else:
                continue
            if placed and ordered and inside & set(found):
                continue
            strange = {space for space, power, part in scales if spec.root(space) != root and _has_sign(power, part)}
            strange |= set() if ordered and placed else set(found)
            parity = tuple(space for space, power, part in acting if _has_sign(power, part))
            powers = tuple((space, power) for space, power, part in acting if power and part != "sign")
            neuron = torch.where(owned.neuron < 0, -1, neuron)
            key = (owned.dims, owned.dim, parity, powers, frozenset(strange))
            tables[key] = torch.maximum(tables[key], neuron) if key in tables else neuron
        for (dims, dim, parity, powers, strange), neuron in tables.items():
            index = _by_neuron(neuron.flatten(), spec.space[root].size)
            if index is not None:
                yield Carrier(name, dims, index, parity, powers, _others(spec, labels, dim, strange))


def _others(spec: SymmetrySpec, labels: list[Label], dim: int, strange: frozenset[str]) -> dict[int, frozenset[str]]:
    others: dict[int, frozenset[str]] = {dim: strange} if strange else {}
    for label, found in labels:
        if label.dim != dim:
            signs = {space for space, power, part in _scales(spec, label.part) if _has_sign(power, part)}
            others[label.dim] = others.get(label.dim, frozenset()) | set(found) | signs
    return others


def _has_sign(power: int, part: str) -> bool:
    return bool(power % 2) and part != "size"


def _scales(spec: SymmetrySpec, part: Axis) -> Iterator[tuple[str, int, str]]:
    """Spaces whose scale multiplies a label, the power, and which part of the scale."""
    for name, power, which in (
        (str(part.space), part.power, "all"),
        *((s.space, s.power, s.part) for s in part.scales),
    ):
        group = spec.space[name].scale
        if spec.space[name].fixed or group == "trivial":
            continue
        yield name, power, "sign" if group == "sign" else "size" if group == "positive" else which


def _by_neuron(neuron: Int[Tensor, " _k"], num: int) -> Int[Tensor, "n _r"] | None:
    """The entries of each neuron; nothing where neurons have different numbers of them, which cannot be compared."""
    order = neuron.argsort(stable=True)
    order = order[neuron[order] >= 0]
    counts = torch.bincount(neuron[order], minlength=num)
    return order.view(num, -1) if bool((counts == counts[0]).all()) and len(order) else None
