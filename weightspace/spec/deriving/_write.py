"""From groups of neurons and free scales to a spec: names, and the label of every parameter axis."""

from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from .._axis import Axis, Joined, Scale
from .._spec import NeuronSpace, ScaleName, SymmetrySpec
from ._resolve import Group, Neurons
from ._scales import Monomial, Part
from ._store import Ids, Store
from ._value import Field, Term, Value


class Unwritable(Exception):
    """Units whose labels the notation cannot hold; they have to stay in place."""

    def __init__(self, units: Ids, scales: Ids) -> None:
        super().__init__()
        self.units, self.scales = units, scales


@final
@dataclass(eq=False)
class _Space:
    """A space before it has a name: the permutation of a group, or one more scale on it."""

    group: int
    clock: int
    size_first: int | None = None  # first scale of the magnitudes, and of the signs
    sign_first: int | None = None
    name: str = ""
    owner: bool = True  # whether it holds the group's permutation


@final
@dataclass
class Writer:
    """Names for the groups and scales of a network."""

    store: Store
    neurons: Neurons
    spaces: list[_Space] = field(default_factory=list)
    base: dict[int, _Space] = field(default_factory=dict)
    of_size: dict[int, _Space] = field(default_factory=dict)  # by class
    of_sign: dict[int, _Space] = field(default_factory=dict)
    fixed: dict[int, str] = field(default_factory=dict)  # name of a group that nothing acts on
    fixed_sizes: dict[str, int] = field(default_factory=dict)
    tables: dict[str, Ids] = field(default_factory=dict)  # index of the space of each class
    owners: dict[int, Ids] = field(default_factory=dict)  # owner of each class, by part

    def __post_init__(self) -> None:
        free = {part: self._free_classes(part) for part in ("size", "sign")}
        scaled = {int(self.neurons.place[owner, 0]) for found in free.values() for *_, owner in found if owner >= 0}
        for index, group in enumerate(self.neurons.groups):
            if index in scaled or not self.neurons.stays(group):
                self.base[index] = _Space(index, self._clock(group))
                self.spaces.append(self.base[index])
        for index in reversed(sorted(self.base)):
            outer = self.neurons.groups[index].within
            if outer in self.base:
                self.base[outer].clock = min(self.base[outer].clock, self.base[index].clock)
        keys: dict[tuple[int, int], _Space] = {}
        starts = np.array([start for start, _ in self.store.scaled])
        for part, table in (("size", self.of_size), ("sign", self.of_sign)):
            for name, first, owner in free[part]:
                event = int(np.searchsorted(starts, first, side="right")) - 1
                group = int(self.neurons.place[owner, 0]) if owner >= 0 else -1 - name
                space = keys.get((group, event))
                if space is None:
                    space = keys[group, event] = self._scale_space(group, self.store.scaled[event][1])
                table[name] = space
                if part == "size":
                    space.size_first = first
                else:
                    space.sign_first = first
        self._names()

    # -- scales -------------------------------------------------------------------------------------------------

    def _free_classes(self, which: str) -> list[tuple[int, int, int]]:
        """Free classes in order: number, first scale, and the neuron that owns it (-1: all together)."""
        part: Part = getattr(self.neurons.scales, which)
        num = len(part.first)
        low, high = np.full(num, np.iinfo(np.int64).max), np.full(num, -1)
        owner = self.neurons.scales.owner
        owned = owner >= 0
        np.minimum.at(low, part.classes[owned], owner[owned])
        np.maximum.at(high, part.classes[owned], owner[owned])
        free = np.array([name not in part.made_of for name in range(num)], bool)
        owners = np.where(low == high, high, -1)
        for name in np.flatnonzero(free & (low < high)).tolist():
            owners[name] = self._common_block(np.unique(owner[(part.classes == name) & owned]).tolist())
        self.owners[id(part)] = owners
        return [
            (int(name), int(part.first[name]), int(owners[name]))
            for name in sorted(np.flatnonzero(free), key=lambda name: part.first[name])
        ]

    def _common_block(self, neurons: list[int]) -> int:
        """The smallest block that holds all of the neurons, or -1."""
        chains = [self._blocks(neuron) for neuron in neurons]
        return next((block for block in chains[0] if all(block in chain for chain in chains)), -1)

    def _blocks(self, neuron: int) -> list[int]:
        """The neuron and the blocks around it, outwards."""
        found = [neuron]
        group, index = self.neurons.place[neuron].tolist()
        while (outer := self.neurons.groups[group].within) >= 0:
            blocks = self.neurons.groups[outer].neurons
            index //= len(self.neurons.groups[group].neurons) // len(blocks)
            found.append(int(blocks[index]))
            group = outer
        return found

    def _scale_space(self, group: int, clock: int) -> _Space:
        if group in self.base and self.base[group].size_first is None and self.base[group].sign_first is None:
            return self.base[group]
        space = _Space(group, clock, owner=False)
        self.spaces.append(space)
        return space

    # -- names --------------------------------------------------------------------------------------------------

    def _clock(self, group: Group) -> int:
        return self._born(group)[1]

    def _born(self, group: Group) -> tuple[int, int]:
        """First unit and time of the axis on which the group's first neuron was met."""
        first = int(self.neurons.first[group.neurons].min())
        starts = [start for start, _ in self.store.born]
        return self.store.born[int(np.searchsorted(starts, first, side="right")) - 1]

    def _names(self) -> None:
        """Names in forward order: ``in`` and ``out`` for what is fixed at the ends, ``h0``, ``h1``, ... else."""
        pending: list[tuple[int, int, int, object]] = []
        returned = set(np.unique(np.concatenate(self.store.outputs)).tolist()) if self.store.outputs else set()
        for index, group in enumerate(self.neurons.groups):
            if index not in self.base:
                start, clock = self._born(group)
                pending.append((clock, int(start in self.store.made), start, index))
        for space in self.spaces:
            start = self._born(self.neurons.groups[space.group])[0] if space.group >= 0 else 0
            if space.owner and any(group.within == space.group for group in self.neurons.groups):
                start = -1  # blocks come before what lies within
            pending.append((space.clock, 1, start, space))
        pending.sort(key=lambda item: item[:3])
        counts = {"in": 0, "out": 0, "h": 0}
        inputs: dict[tuple[str, int], str] = {}

        def name(kind: str) -> str:
            counts[kind] += 1
            return f"h{counts[kind] - 1}" if kind == "h" else f"{kind}{counts[kind] - 1 or ''}"

        self.order: list[int | _Space] = []
        for _, made, start, item in pending:
            if isinstance(item, _Space):
                item.name = name("h")
                self.order.append(item)
                continue
            assert isinstance(item, int), "groups are numbered"
            group = self.neurons.groups[item]
            if made:
                units = self.neurons.first[group.neurons]
                out = bool(set(units.tolist()) & returned) and not self._is_read(group)
                self.fixed[item] = name("out" if out else "h")
            elif start in self.store.read:
                key = (self.store.inputs.get(start, f"#{start}"), len(group.neurons))
                if key not in inputs:
                    inputs[key] = name("in")
                self.fixed[item] = inputs[key]
            else:
                continue
            if self.fixed[item] not in self.fixed_sizes:
                self.fixed_sizes[self.fixed[item]] = len(group.neurons)
                self.order.append(item)

    def _is_read(self, group: Group) -> bool:
        neurons = set(group.neurons.tolist())
        return any(int(self.neurons.of_unit[start]) in neurons for start in self.store.read)

    # -- spaces -------------------------------------------------------------------------------------------------

    def neuron_spaces(self, used: set[str]) -> tuple[NeuronSpace, ...]:
        """The spaces that are ``used``, and those they name, in forward order."""
        made: dict[str, NeuronSpace] = {}

        def emit(item: "int | _Space") -> None:
            if isinstance(item, int):
                name = self.fixed[item]
                made.setdefault(name, NeuronSpace(name, self.fixed_sizes[name], fixed=True))
                return
            if item.name in made:
                return
            made_space = self._neuron_space(item)
            for near in (made_space.like, made_space.within, made_space.along):
                if near is not None and near not in made:
                    emit(next(space for space in self.spaces if space.name == near))
            made[item.name] = made_space

        for item in self.order:
            if (self.fixed[item] if isinstance(item, int) else item.name) in used:
                emit(item)
        return tuple(made.values())

    def _neuron_space(self, space: _Space) -> NeuronSpace:
        scale: ScaleName = "trivial"
        if space.size_first is not None:
            scale = "positive" if space.sign_first is None else "nonzero"
        elif space.sign_first is not None:
            scale = "sign"
        if space.group < 0:
            return NeuronSpace(space.name, 1, scale)
        group = self.neurons.groups[space.group]
        size = len(group.neurons)
        if not space.owner:
            return NeuronSpace(space.name, size, scale, like=self.base[space.group].name)
        within = self.base[group.within].name if group.within >= 0 else None
        if group.ordered and group.within >= 0 and size == len(self.neurons.groups[group.within].neurons):
            root = self.neurons.groups[group.within]
            if not (
                root.within >= 0 and root.ordered and len(root.neurons) == len(self.neurons.groups[root.within].neurons)
            ):
                return NeuronSpace(space.name, size, scale, like=within)
        along = self.base[group.along].name if group.along >= 0 else None
        ordered = group.ordered and size > 1
        return NeuronSpace(space.name, size, scale, within=within, along=along, ordered=ordered)

    def _follows(self, group: Group) -> bool:
        """Whether every neuron is its block's only one."""
        return (
            group.ordered
            and group.within >= 0
            and (len(group.neurons) == len(self.neurons.groups[group.within].neurons))
        )

    # -- labels -------------------------------------------------------------------------------------------------

    def axis(self, leaf: Value, dim: int) -> Axis | Joined:
        """The label of one axis of a parameter."""
        size = leaf.shape[dim]
        labels = [label for label in leaf.fields if label.home == dim or label.dims == (dim,)]
        joint = [label for label in leaf.fields if dim in label.dims and len(label.dims) > 1 and label.dims[-1] == dim]
        terms = [t for t in leaf.terms if t.home == dim or (t.home is None and _last(t) == dim)]
        if joint:
            return self._block(leaf, joint[0], dim, terms)
        if not labels:
            return Axis(None, 0, size)
        (label,) = labels
        units = label.ids.ravel()
        neurons = self.neurons.of_unit[units]
        groups, index = self.neurons.place[neurons].T
        powers = self._powers_along(terms, neurons)
        unnamed = all(group not in self.base and group not in self.fixed for group in np.unique(groups).tolist())
        if unnamed and not any(powers):
            return Axis(None, 0, size)
        formal = -1 if int(units[0]) in self.store.read else 1
        parts: list[Axis] = []
        start = 0
        self._check_exchange(groups, index, powers, terms)
        for stop in range(1, size + 1):
            if stop < size and groups[stop] == groups[start] and _same(powers[stop], powers[start]):
                continue
            here = slice(start, stop)
            parts.append(self._part(int(groups[start]), index[here], powers[start], formal))
            start = stop
        return parts[0] if len(parts) == 1 else Joined(tuple(parts))

    def _fixed_name(self, group: int) -> str | None:
        return self.fixed.get(group)

    def _check_exchange(self, groups: Ids, index: Ids, powers: "list[_Powers]", terms: list[Term]) -> None:
        """Neurons that can change places are scaled alike wherever they occur on an axis."""
        for group in np.unique(groups).tolist():
            if group not in self.base:
                if self.fixed.get(group) is None and any(powers[k] for k in np.flatnonzero(groups == group)):
                    raise Unwritable(np.zeros(0, np.int64), _ids(terms))
                continue
            if self.neurons.groups[group].ordered:
                continue
            here = groups == group
            if len({id(powers[k]) for k in np.flatnonzero(here).tolist()}) == 1:
                counts = np.bincount(index[here], minlength=len(self.neurons.groups[group].neurons))
                if (counts == counts[0]).all():
                    continue
            lines: dict[int, list[_Powers]] = {}
            for place in np.flatnonzero(groups == group).tolist():
                lines.setdefault(int(index[place]), []).append(powers[place])
            neurons = self.neurons.groups[group].neurons
            first = next(iter(lines.values()))
            if len(lines) != len(neurons) or any(line != first for line in lines.values()):
                raise Unwritable(self.neurons.first[neurons], _ids(terms))

    def _part(self, group: int, index: Ids, powers: "_Powers", formal: int) -> Axis:
        if group not in self.base:
            name = self._fixed_name(group)
            if name is None:
                return Axis(None, 0, len(index))
            _, _, scales = self._powers(_NO_SPACE, powers, formal)
            repeat, times, order = _pattern(index, self.fixed_sizes[name])
            if order is not None and (np.diff(order) == 1).all() and not scales:
                return Axis(None, 0, len(index))
            return Axis(name, formal, repeat, times, scales, index=None if order is None else tuple(order.tolist()))
        base = self.base[group]
        size = len(self.neurons.groups[group].neurons)
        repeat, times, order = _pattern(index, size)
        name, power, scales = self._powers(base, powers, formal)
        return Axis(name, power, repeat, times, scales, index=None if order is None else tuple(order.tolist()))

    def _block(self, leaf: Value, label: Field, dim: int, terms: list[Term]) -> Axis:
        """An axis whose neurons are those of the block that another axis names."""
        other = label.dims[0]

        def table(ids: Ids) -> Ids:
            return np.moveaxis(ids, (other, dim), (0, 1)).reshape(label.ids.shape[other], label.ids.shape[dim])

        ids = table(label.ids)
        neurons = self.neurons.of_unit[ids]
        groups, index = np.moveaxis(self.neurons.place[neurons], -1, 0)
        group = int(groups[0, 0])
        flat = [Term(table(term.ids).reshape(-1), term.size, term.sign) for term in terms]
        powers = self._powers_along(flat, neurons.ravel())
        held = all(self.neurons.stays(self.neurons.groups[each]) for each in np.unique(groups).tolist())
        if held and not any(powers):
            return Axis(None, 0, leaf.shape[dim])
        if (groups != group).any() or self.neurons.groups[group].within < 0:
            raise Unwritable(np.unique(ids), _ids(terms))
        outer = self.neurons.groups[group].within
        inner = len(self.neurons.groups[group].neurons) // len(self.neurons.groups[outer].neurons)
        alike = all(_same(power, powers[0]) for power in powers)
        if inner != ids.shape[1] or (index % inner != np.arange(inner)).any() or not alike:
            raise Unwritable(np.unique(ids), _ids(terms))
        if not self._tells(leaf, other, outer):
            # The blocks stay in place; what is inside them is free.
            raise Unwritable(self.neurons.first[self.neurons.groups[outer].neurons], np.zeros(0, np.int64))
        name, power, scales = self._powers(self.base[group], powers[0], -1)
        return Axis(name, power, scales=scales, over=self.base[outer].name)

    def _tells(self, leaf: Value, dim: int, outer: int) -> bool:
        """Whether axis ``dim`` says a neuron of group ``outer``: its own, or the one around it."""
        for label in leaf.fields:
            if label.home == dim or label.dims == (dim,):
                for group in np.unique(self.neurons.place[self.neurons.of_unit[label.ids.ravel()], 0]).tolist():
                    while group >= 0 and group != outer:
                        group = self.neurons.groups[group].within
                    if group != outer:
                        return False
                return True
        return False

    def _powers(self, base: _Space, powers: "_Powers", formal: int) -> tuple[str, int, tuple[Scale, ...]]:
        """The space whose scale comes first, its power, and all further scales."""
        found = sorted(powers.values(), key=lambda item: (item[0] is not base, item[0].clock, item[0].name))
        scales = [
            entry
            for space, size, sign in found
            for entry in _scales_of(space, size, sign, formal if space is base else size or 1)
        ]
        alike = {space.name for space in self.spaces if space.group == base.group}
        for entry in scales:
            if entry.part == "all" and entry.space in alike:
                rest = tuple(other for other in scales if other is not entry)
                return entry.space, entry.power, rest
        return base.name, 0 if base.size_first is not None or base.sign_first is not None else formal, tuple(scales)

    def _powers_along(self, terms: list[Term], neurons: Ids) -> "list[_Powers]":
        """The scales at every entry of an axis; equal ones are one object where a single free scale acts."""
        if len(terms) == 1:
            ids = terms[0].ids.ravel()
            columns = [self._simple(which, ids, neurons) for which in ("size", "sign")] if (ids >= 0).all() else [None]
            if all(column is not None for column in columns):
                keys = np.stack([row for column in columns if column is not None for row in column])
                unique, inverse = np.unique(keys, axis=1, return_inverse=True)
                made: list[_Powers] = []
                for size_space, turned, sign_space, _ in unique.T.tolist():
                    found: _Powers = {}
                    if size_space >= 0 and terms[0].size:
                        space = self.spaces[size_space]
                        found[space.name] = (space, turned * terms[0].size, 0)
                    if sign_space >= 0 and terms[0].sign:
                        space = self.spaces[sign_space]
                        found[space.name] = (space, found.get(space.name, (space, 0, 0))[1], 1)
                    made.append(found)
                return [made[k] for k in inverse.ravel().tolist()]
        return [self._powers_at(terms, place, neuron) for place, neuron in enumerate(neurons.tolist())]

    def _simple(self, which: str, ids: Ids, neurons: Ids) -> Ids | None:
        """Index of the space and power of one scale at each entry, if it is free or 1 and the neuron's own."""
        part: Part = getattr(self.neurons.scales, which)
        if which not in self.tables:
            table = self.of_size if which == "size" else self.of_sign
            numbers = {id(space): k for k, space in enumerate(self.spaces)}
            spaces = np.full(len(part.first), -2)  # made of others
            for name, space in table.items():
                spaces[name] = numbers[id(space)]
            spaces[[name for name, made in part.made_of.items() if not made]] = -1
            self.tables[which] = spaces
        classes = part.classes[ids]
        spaces = self.tables[which][classes]
        if (spaces == -2).any() or ((spaces >= 0) & (self.owners[id(part)][classes] != neurons)).any():
            return None
        return np.stack([spaces, np.where(spaces >= 0, part.turned[ids], 0)])

    def _powers_at(self, terms: list[Term], place: int, neuron: int) -> "_Powers":
        """The scales at one entry: powers of magnitude and sign, by space."""
        scales = self.neurons.scales
        found: _Powers = {}
        for row, (part, table, modulus) in enumerate(((scales.size, self.of_size, 0), (scales.sign, self.of_sign, 2))):
            total: Monomial = {}
            for term in terms:
                scale = int(term.ids.ravel()[place])
                if scale >= 0:
                    for name, power in part.of(scale, term.sign if row else term.size, modulus).items():
                        total[name] = total.get(name, 0) + power
            for name, power in total.items():
                power = power % 2 if row else power
                if not power:
                    continue
                owner = int(self.owners[id(part)][name])
                if owner >= 0 and owner not in self._blocks(neuron):
                    raise Unwritable(np.zeros(0, np.int64), _ids(terms))
                space = table[name]
                _, size, sign = found.get(space.name, (space, 0, 0))
                found[space.name] = (space, size, power) if row else (space, power, sign)
        return found


_NO_SPACE = _Space(-(10**12), 0)
_Powers = dict[str, tuple[_Space, int, int]]


def _same(a: _Powers, b: _Powers) -> bool:
    return a == b


def _ids(terms: list[Term]) -> Ids:
    return np.unique(np.concatenate([term.ids.ravel() for term in terms])) if terms else np.zeros(0, np.int64)


def _scales_of(space: _Space, size: int, sign: int, formal: int) -> list[Scale]:
    """The shortest way to write magnitudes to the power ``size`` and signs to ``sign``."""
    if space.sign_first is None:
        return [Scale(space.name, size)] if size else []
    if space.size_first is None:
        return [Scale(space.name, formal if formal % 2 == 1 else 1)] if sign else []
    if not size and not sign:
        return []
    if size % 2 == sign:
        return [Scale(space.name, size)]
    return ([Scale(space.name, size, "size")] if size else []) + ([Scale(space.name, 1, "sign")] if sign else [])


def _last(term: Term) -> int:
    dims = [dim for dim, size in enumerate(term.ids.shape) if size > 1]
    return dims[-1] if dims else -1


def _pattern(index: Ids, size: int) -> tuple[int, int, Ids | None]:
    """Consecutive entries per neuron, repetitions of the whole, or the neuron of each entry if neither tells."""
    if len(index) % size == 0:
        per = len(index) // size
        for repeat in range(per, 0, -1):
            if per % repeat == 0 and (index == np.tile(np.repeat(np.arange(size), repeat), per // repeat)).all():
                return repeat, per // repeat, None
    return 1, 1, index


def write(
    store: Store,
    neurons: Neurons,
    leaves: dict[str, Value],
    offsets: dict[str, float],
    shapes: dict[str, tuple[int, ...]],
    shared: dict[str, tuple[str, ...]],
) -> SymmetrySpec:
    """The spec of a network whose neurons are known."""
    writer = Writer(store, neurons)
    params = []
    for name, shape in shapes.items():
        leaf = leaves.get(shared.get(name, (name,))[0])
        if leaf is None:
            axes: list[Axis | Joined] = [Axis(None, 0, size) for size in shape]
        else:
            axes = [writer.axis(leaf, dim) for dim in range(len(shape))]
            if name in offsets and axes[0].parts[0].space is not None:
                axes = [_with_offset(axis, offsets[name]) for axis in axes]
        params.append((name, tuple(axes)))
    used = {
        space
        for _, axes in params
        for axis in axes
        for part in axis.parts
        for space in (part.space, part.over, *(scale.space for scale in part.scales))
        if space is not None
    }
    return SymmetrySpec(writer.neuron_spaces(used), tuple(params))


def _with_offset(axis: Axis | Joined, offset: float) -> Axis | Joined:
    """``axis`` with ``offset`` where it is scaled."""
    parts = tuple(
        replace(part, offset=offset) if part.power == 2 or any(scale.power == 2 for scale in part.scales) else part
        for part in axis.parts
    )
    return parts[0] if isinstance(axis, Axis) else Joined(parts)
