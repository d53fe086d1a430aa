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
        others: By other axis of the parameter, the spaces that say the order or the sign there.
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
    found = [_family(spec, space.name, named) for space in spec.free if space.name in named - contained]
    # Scales of spaces whose neurons stay, or follow others: chosen on their own.
    alone = [space.name for space in spec.free if space.scale != "trivial" and spec.root(space.name) not in named]
    roots = list(dict.fromkeys(spec.root(name) for name in alone))
    return (*found, *(_family(spec, root, set()) for root in roots))


def with_inside(family: Family) -> list[Family]:
    """A family and all families inside its neurons."""
    return [family, *(each for inner in family.inside for each in with_inside(inner))]


def _family(spec: SymmetrySpec, root: str, named: set[str]) -> Family:
    members = [space for space in spec.free if spec.root(space.name) == root]
    inside = tuple(_family(spec, name, named) for name in named if _parent(spec, name, named) == root)
    inside = tuple(sorted(inside, key=lambda family: [space.name for space in spec.spaces].index(family.space)))
    carriers = tuple(_carriers(spec, root, {family.space for family in inside}, bool(named)))
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


def _carriers(spec: SymmetrySpec, root: str, inside: set[str], ordered: bool) -> Iterator[Carrier]:
    for name in spec.axes:
        if any(part.offset or abs(part.power) > 1 for axis in spec.axes[name] for part in axis.parts):
            continue  # variances follow the rest, and their squares would outweigh it
        labels = [
            (owned, places(spec, str(owned.part.space), owned.neuron.clamp_min(0))[0]) for owned in owners(spec, name)
        ]
        # The neurons of a space may be spread over several parts of an axis: one table for parts scaled alike.
        tables: dict[tuple[tuple[int, ...], int, Signs, Powers], Tensor] = {}
        for owned, found in labels:
            if ordered:
                neuron = found.get(root)
                if neuron is None or inside & set(found):
                    continue
            elif spec.root(str(owned.part.space)) == root:
                neuron = owned.neuron
            else:
                continue
            acting = [
                (space, power, part) for space, power, part in _scales(spec, owned.part) if spec.root(space) == root
            ]
            parity = tuple(space for space, power, part in acting if power % 2 and part != "size")
            powers = tuple((space, power) for space, power, part in acting if power and part != "sign")
            neuron = torch.where(owned.neuron < 0, -1, neuron)
            key = (owned.dims, owned.dim, parity, powers)
            tables[key] = torch.maximum(tables[key], neuron) if key in tables else neuron
        for (dims, _, parity, powers), neuron in tables.items():
            index = _by_neuron(neuron.flatten(), spec.space[root].size)
            if index is not None:
                yield Carrier(name, dims, index, parity, powers, _others(spec, labels, dims))


def _others(
    spec: SymmetrySpec, labels: list[tuple[Owners, dict[str, Tensor]]], dims: tuple[int, ...]
) -> dict[int, frozenset[str]]:
    others: dict[int, frozenset[str]] = {}
    for label, found in labels:
        if not set(label.dims) & set(dims):
            signs = {space for space, power, part in _scales(spec, label.part) if part != "size" and power % 2}
            others[label.dim] = others.get(label.dim, frozenset()) | set(found) | signs
    return others


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
