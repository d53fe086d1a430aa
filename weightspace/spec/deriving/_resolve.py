"""From statements about single units to neuron spaces: which units may be exchanged with which."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ._scales import Scales, solve
from ._store import Ids, Power, Store


@final
@dataclass
class Group:
    """Neurons that are permuted together, in order, before it has a name.

    Attributes:
        neurons: Neuron numbers.
        within: Index of the group around this one, or -1; block ``k`` of it owns the ``k``-th equal part here.
        along: Index of the group whose neurons say the places inside the blocks, or -1.
        ordered: Whether the neurons of a block keep their places.
    """

    neurons: Ids
    within: int = -1
    along: int = -1
    ordered: bool = False


@final
@dataclass
class Neurons:
    """Neurons, the groups they form, and the scales that are left.

    Attributes:
        of_unit: Neuron of each unit.
        first: First unit of each neuron.
        groups: All groups; what another one names comes first.
        place: For every neuron its group and its index there.
        scales: What the scales are in the end.
    """

    of_unit: Ids
    first: Ids
    groups: list[Group]
    place: Ids
    scales: Scales

    def stays(self, group: Group) -> bool:
        """Whether no neuron of the group changes its place."""
        return (group.ordered or len(group.neurons) == 1) and (
            group.within < 0 or self.stays(self.groups[group.within])
        )


_Outer = dict[int, dict[int, int]]
"""By group, the block around each neuron."""


class _Conflict(Exception):
    """Neurons whose blocks cannot be written down.

    They have to stay in place, unless the two blocks around one of them are the ``same``, or the ``scaled`` blocks
    around them lose their scales, which put them inside others.
    """

    def __init__(self, neurons: list[int], same: tuple[int, ...] = (), scaled: Sequence[int] = ()) -> None:
        super().__init__()
        self.neurons, self.same, self.scaled = neurons, same, scaled


def components(num: int, pairs: Iterable[tuple[Ids, Ids]]) -> Ids:
    """Number of the connected component of each of ``num`` things."""
    pairs = list(pairs)
    if not pairs:
        return np.arange(num)
    rows, columns = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(num, num))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def resolve(store: Store) -> Neurons:
    """The groups of neurons that the statements allow."""
    while True:
        try:
            return _resolve(store)
        except _Conflict as conflict:
            of_unit, blocks = _neurons(store)
            if conflict.same:
                one, other = (np.flatnonzero(of_unit == neuron)[:1] for neuron in conflict.same)
                store.unify(one, other)
                continue
            if conflict.scaled:
                _pin(store, np.isin(of_unit, conflict.scaled))
                continue
            parents = _parents(len(of_unit), blocks)
            around = set().union(*(parents[neuron] for neuron in conflict.neurons))
            store.tell_apart(np.flatnonzero(np.isin(of_unit, [*conflict.neurons, *around])))


def _pin(store: Store, units: np.ndarray) -> None:
    """The scales of some units are 1."""
    owner = np.concatenate(store.owners)
    scales = np.flatnonzero((owner >= 0) & units[np.maximum(owner, 0)])
    store.pin(Power(scales, 1, 1))


def _neurons(store: Store) -> tuple[Ids, list[tuple[Ids, Ids]]]:
    """Neuron of each unit, and all blocks of neurons."""
    same = list(store.same)
    while True:
        of_unit = components(store.num_units, same)
        blocks = [_distinct(of_unit[members], of_unit[around]) for members, around in store.blocks]
        more = _equal_blocks(blocks)
        if not more:
            return of_unit, blocks
        # One unit stands for each neuron.
        some = np.zeros(of_unit.max() + 1, np.int64)
        some[of_unit] = np.arange(store.num_units)
        same += [(some[a], some[b]) for a, b in more]


def _resolve(store: Store) -> Neurons:
    of_unit, blocks = _neurons(store)
    num = int(of_unit.max()) + 1 if store.num_units else 0
    scales = solve(store, of_unit, num)
    parents = _parents(num, blocks)
    colors = _colors(store, of_unit, num, blocks, scales)
    first = np.full(num, store.num_units)
    np.minimum.at(first, of_unit, np.arange(store.num_units))
    groups = _groups(store, first, colors, parents, scales)
    place = np.full((num, 2), -1)
    for index, group in enumerate(groups):
        place[group.neurons, 0] = index
        place[group.neurons, 1] = np.arange(len(group.neurons))
    return Neurons(of_unit, first, groups, place, scales)


def _distinct(members: Ids, around: Ids) -> tuple[Ids, Ids]:
    pairs = np.unique(np.stack([members, around]), axis=1)
    return pairs[0], pairs[1]


def _equal_blocks(blocks: list[tuple[Ids, Ids]]) -> list[tuple[Ids, Ids]]:
    """Blocks that have the same members are one; so is a block and its only member."""
    found: list[tuple[Ids, Ids]] = []
    seen: dict[bytes, tuple[Ids, Ids]] = {}
    for members, around in blocks:
        _, counts = np.unique(members, return_counts=True)
        if (counts > 1).any():
            continue
        names, first, inverse, sizes = np.unique(around, return_index=True, return_inverse=True, return_counts=True)
        if (sizes == 1).all():
            if (members != around).any():
                found.append((members, around))
            continue
        partition = first[inverse].astype(np.int64)
        key = members.tobytes() + partition.tobytes()
        if key in seen:
            before = seen[key][1]
            if (before != around).any():
                found.append((before, around))
        else:
            seen[key] = (members, around)
        del names
    return found


def _parents(num: int, blocks: list[tuple[Ids, Ids]]) -> list[set[int]]:
    parents: list[set[int]] = [set() for _ in range(num)]
    for members, around in blocks:
        for member, block in zip(members.tolist(), around.tolist(), strict=True):
            if member != block:
                parents[member].add(block)
    return parents


def _colors(store: Store, of_unit: Ids, num: int, blocks: list[tuple[Ids, Ids]], scales: Scales) -> Ids:
    """Numbers that are equal for neurons that occur alike in all tensors, blocks and scales."""
    random = np.random.default_rng(0)

    def draw(size: int) -> Ids:
        return random.integers(1, 2**63 - 1, size, dtype=np.int64)

    names = draw(store.num_roles + 1)
    colors = np.zeros(num, np.int64)
    for roles, units in store.roles:
        pairs, counts = np.unique(np.stack([roles, of_unit[units]]), axis=1, return_counts=True)
        np.add.at(colors, pairs[1], _mix(names[pairs[0]], counts))
    # Axes of size 1 that no tensor depends on play no role: they are not each other's.
    first = np.full(num, store.num_units)
    np.minimum.at(first, of_unit, np.arange(store.num_units))
    starts = np.array([start for start, _ in store.born])
    colors += draw(len(starts) + 1)[np.searchsorted(starts, first, side="right")]
    colors += scales.kind
    events = draw(2 * len(blocks) + 1)
    distinct = -1
    while (now := len(np.unique(colors))) != distinct:
        distinct = now
        old = colors.copy()
        for index, (members, around) in enumerate(blocks):
            np.add.at(colors, members, _mix(events[2 * index], old[around]))
            np.add.at(colors, around, _mix(events[2 * index + 1], old[members]))
    return np.unique(colors, return_inverse=True)[1].ravel()


def _mix(a: Ids | np.int64, b: Ids) -> Ids:
    """A number that depends on both, as if at random (splitmix64)."""
    with np.errstate(over="ignore"):
        x = np.asarray(a, np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.asarray(b).astype(np.uint64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (x ^ (x >> np.uint64(31))).astype(np.int64)


def _groups(store: Store, first: Ids, colors: Ids, parents: list[set[int]], scales: Scales) -> list[Group]:
    starts = np.array([start for start, _ in store.born])
    birth = np.searchsorted(starts, first, side="right") - 1
    cells: dict[int, list[int]] = {}
    for neuron in np.argsort(first, kind="stable").tolist():
        cells.setdefault(int(colors[neuron]), []).append(neuron)
    groups: list[Group] = []
    placed: dict[int, tuple[int, int]] = {}  # group and index of a neuron
    waiting = list(cells.values())
    while waiting:
        ready = [cell for cell in waiting if all(block in placed for neuron in cell for block in parents[neuron])]
        if not ready:
            raise _Conflict(waiting[0])
        waiting = [cell for cell in waiting if any(b not in placed for neuron in cell for b in parents[neuron])]
        _place(ready, groups, placed, birth, parents, scales)
    return groups


def _place(
    ready: list[list[int]],
    groups: list[Group],
    placed: dict[int, tuple[int, int]],
    birth: Ids,
    parents: list[set[int]],
    scales: Scales,
) -> None:
    """Makes groups of cells whose surroundings are known."""
    alone: dict[tuple[int, int], list[list[int]]] = {}
    tables: dict[tuple[int, ...], list[tuple[list[int], _Outer, _Outer]]] = {}
    for cell in ready:
        outer = _moving_blocks(cell, groups, placed, parents)
        sides = _with_scales(cell, outer, groups, placed, parents, scales)
        if len(sides) == 2:
            tables.setdefault((int(birth[cell[0]]), *sorted(sides)), []).append((cell, sides, outer))
        else:
            _in_blocks(cell, outer, groups, placed, birth, alone)
    for cells in tables.values():
        grids = _grids([(cell, sides) for cell, sides, _ in cells], groups, placed)
        for group in grids:
            _append(groups, placed, group)
        for cell, _, outer in cells if not grids else ():
            scaled = [n for g in outer if groups[g].along >= 0 for n in groups[g].neurons.tolist()]
            if len(outer) > 1 and scaled and scales.is_free(scaled):
                raise _Conflict(cell, scaled=scaled)
            _in_blocks(cell, outer, groups, placed, birth, alone)
    for (_, inside), lines in alone.items():
        # One neuron in each block: they follow the blocks, and keep their order inside.
        size = len(groups[inside].neurons) if inside >= 0 else 1
        neurons = np.array(lines).reshape(len(lines), size).T.ravel()
        _append(groups, placed, Group(neurons, inside, ordered=True))


def _in_blocks(
    cell: list[int],
    outer: _Outer,
    groups: list[Group],
    placed: dict[int, tuple[int, int]],
    birth: Ids,
    alone: dict[tuple[int, int], list[list[int]]],
) -> None:
    """Makes a group of a cell in at most one block, unless its neurons keep their places: these are gathered."""
    if len(outer) > 1:
        raise _Conflict(cell)
    inside, around = next(iter(outer.items()), (-1, {}))
    size = len(groups[inside].neurons) if outer else 1
    if outer:
        counts = np.bincount([placed[around[neuron]][1] for neuron in cell], minlength=size)
        if (counts != counts[0]).any():
            raise _Conflict(cell)
        cell = sorted(cell, key=lambda neuron: (placed[around[neuron]][1], neuron))
    if len(cell) == size:
        alone.setdefault((int(birth[cell[0]]), inside), []).append(cell)
    else:
        _append(groups, placed, Group(np.array(cell), inside))


def _moving_blocks(
    cell: list[int],
    groups: list[Group],
    placed: dict[int, tuple[int, int]],
    parents: list[set[int]],
    held: Collection[int] = (),
) -> _Outer:
    """By group, the smallest block around each neuron of a cell, of those that move or are ``held``."""
    outer: _Outer = {}
    for neuron in cell:
        near = {block for block in parents[neuron] if block in held or not _stays(groups, placed[block][0])}
        for block in near:
            if not any(block in parents[other] for other in near if other != block):
                blocks = outer.setdefault(placed[block][0], {})
                if neuron in blocks:
                    raise _Conflict(cell, (blocks[neuron], block))
                blocks[neuron] = block
    if any(len(blocks) < len(cell) for blocks in outer.values()):
        raise _Conflict(cell)
    return outer


def _with_scales(
    cell: list[int],
    outer: _Outer,
    groups: list[Group],
    placed: dict[int, tuple[int, int]],
    parents: list[set[int]],
    scales: Scales,
) -> _Outer:
    """``outer`` with blocks in place whose scales the neurons share; those inside which they have to lie come first."""
    if not scales.is_free(cell):
        return outer
    held = {block for neuron in cell for block in parents[neuron] if scales.is_free([block])}
    with suppress(_Conflict):
        outer = _moving_blocks(cell, groups, placed, parents, held) if len(outer) == 1 else outer
    return dict(sorted(outer.items(), key=lambda item: not scales.is_free(groups[item[0]].neurons.tolist())))


def _stays(groups: list[Group], index: int) -> bool:
    """Whether no neuron of the group ever changes its place."""
    group = groups[index]
    return (group.ordered or len(group.neurons) == 1) and (group.within < 0 or _stays(groups, group.within))


def _grids(
    cells: list[tuple[list[int], _Outer]], groups: list[Group], placed: dict[int, tuple[int, int]]
) -> list[Group]:
    """Neurons that two blocks together tell: a table for each cell, or one of which each is a few rows, or none."""
    found = [_grid(cell, outer, groups, placed) for cell, outer in cells]
    if all(group is not None for group in found):
        return [group for group in found if group is not None]
    whole = [neuron for cell, _ in cells for neuron in cell]
    sides = {side: {n: block for _, outer in cells for n, block in outer[side].items()} for side in cells[0][1]}
    table = _grid(whole, sides, groups, placed)
    return [] if table is None else [table]


def _grid(cell: list[int], outer: _Outer, groups: list[Group], placed: dict[int, tuple[int, int]]) -> Group | None:
    """Neurons that two blocks together tell: rows and columns, of one table or of one for each outer block."""
    sides = list(outer.items())
    for (inside, rows), (along, columns) in (sides, sides[::-1]):
        blocks, others = len(groups[inside].neurons), len(groups[along].neurons)
        size = len(cell) // blocks
        if not size or size * blocks != len(cell) or others % size or blocks % (others // size):
            continue
        tables = others // size
        if tables > 1 and (groups[along].within < 0 or groups[along].within not in _around(groups, inside)):
            continue
        if tables > 1 and len(groups[groups[along].within].neurons) != tables:
            continue
        places = {n: (placed[rows[n]][1], placed[columns[n]][1]) for n in cell}
        fits = all(row * tables // blocks == column // size for row, column in places.values())
        if fits and len(set(places.values())) == len(cell):
            return Group(np.array(sorted(cell, key=places.__getitem__)), inside, along)
    return None


def _around(groups: list[Group], index: int) -> list[int]:
    found: list[int] = []
    while index >= 0:
        index = groups[index].within
        found.append(index)
    return found


def _append(groups: list[Group], placed: dict[int, tuple[int, int]], group: Group) -> None:
    for index, neuron in enumerate(group.neurons.tolist()):
        placed[neuron] = (len(groups), index)
    groups.append(group)
