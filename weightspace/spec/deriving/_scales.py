"""Which scales are free, and what the others are made of."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

import numpy as np

from ._store import FIXED, Ids, Power, Store

Monomial = dict[int, int]
"""Powers of free classes of scales."""


@final
@dataclass
class Part:
    """The magnitudes, or the signs, of all scales.

    Attributes:
        classes: Class of each scale: scales of one class are equal up to inversion.
        turned: 1 or -1: whether a scale is its class or its inverse.
        made_of: For every class that is not free, what it is a product of (nothing: it is 1).
        first: First scale of each class.
    """

    classes: Ids
    turned: Ids
    made_of: dict[int, Monomial]
    first: Ids

    def of(self, scale: int, power: int, modulus: int) -> Monomial:
        """Free classes in a power of one scale."""
        power *= int(self.turned[scale])
        own = int(self.classes[scale])
        made = self.made_of.get(own, {own: 1})
        return _reduced({name: power * exponent for name, exponent in made.items()}, modulus)


@final
@dataclass
class Scales:
    """What the scales are in the end.

    Attributes:
        size: Their magnitudes.
        sign: Their signs.
        owner: Neuron of each scale, or -1.
        kind: For each neuron a number that says which scales it has.
        free_neurons: Neurons with a scale that is not 1.
    """

    size: Part
    sign: Part
    owner: Ids
    kind: Ids
    free_neurons: set[int] = field(default_factory=set)

    def is_free(self, neurons: list[int]) -> bool:
        """Whether all of the neurons have a scale that is not 1."""
        return all(neuron in self.free_neurons for neuron in neurons)


def solve(store: Store, of_unit: Ids, num: int) -> Scales:
    """Solves the statements on scales for as many free ones as there are."""
    size = _solve(store, lambda power: power.size, 0)
    sign = _solve(store, lambda power: power.sign, 2)
    units = np.concatenate(store.owners) if store.owners else np.zeros(0, np.int64)
    owner = np.where(units >= 0, of_unit[np.maximum(units, 0)], -1) if len(units) else units
    kind = np.zeros(num, np.int64)
    starts = np.array([start for start, _ in store.scaled])
    born = np.searchsorted(starts, np.arange(store.num_scales), side="right") - 1
    random = np.random.default_rng(1).integers(1, 2**62, (2, len(starts) + 1), dtype=np.int64)
    result = Scales(size, sign, owner, kind)
    for row, part in enumerate((size, sign)):
        fixed = np.array([name for name, made in part.made_of.items() if not made], np.int64)
        free = ~np.isin(part.classes, fixed)
        np.add.at(kind, owner[free & (owner >= 0)], random[row][born[free & (owner >= 0)]])
        result.free_neurons.update(owner[free & (owner >= 0)].tolist())
    return result


def _solve(store: Store, exponent: Callable[[Power], int], modulus: int) -> Part:
    from ._resolve import components  # the two files call each other

    num = store.num_scales
    rows = [
        (np.stack([power.ids for power in relation]), [exponent(power) for power in relation])
        for relation in store.relations
    ]
    rows = [_live(ids, powers, modulus) for ids, powers in rows]
    rows = [row for row in rows if len(row[1])]
    one = np.zeros(num, bool)
    pairs: list[tuple[Ids, Ids]] = []
    while True:
        before = int(one.sum()), sum(len(pair[0]) for pair in pairs)
        graph = components(2 * num, pairs)
        # A scale that equals its inverse is 1 (magnitudes); signs always do.
        if modulus == 0 and num:
            one |= graph[:num] == graph[num:]
        for stuck in (graph[:num], graph[num:]):
            one |= np.isin(stuck, np.concatenate([graph[:num][one], graph[num:][one]]))
        rest = []
        for ids, powers in rows:
            live = (ids >= 0) & ~one[np.maximum(ids, 0)]
            count = live.sum(0)
            single = count == 1
            one[ids[:, single][live[:, single]]] = True
            double = count == 2
            if double.any() and all(abs(power) == 1 for power in powers):
                pairs += _pairs(ids[:, double], live[:, double], np.array(powers), num)
                double = np.zeros_like(double)
            keep = (count > 2) | (double & (count == 2))
            if keep.any():
                rest.append((ids[:, keep], powers))
        rows = rest
        if (int(one.sum()), sum(len(pair[0]) for pair in pairs)) == before:
            break
    return _classes(num, components(2 * num, pairs), one, rows, modulus)


def _live(ids: Ids, powers: list[int], modulus: int) -> tuple[Ids, list[int]]:
    kept = [row for row, power in enumerate(powers) if (power % modulus if modulus else power)]
    ids = ids[kept]
    here = (ids != FIXED).any(0) if len(kept) else np.zeros(ids.shape[1], bool)
    if not here.any():
        return ids, []
    return ids[:, here], [powers[row] for row in kept]


def _pairs(ids: Ids, live: np.ndarray, powers: Ids, num: int) -> list[tuple[Ids, Ids]]:
    """Equal scales: node ``v`` stands for a scale, ``num + v`` for its inverse."""
    order = np.argsort(~live, axis=0, kind="stable")[:2]
    a, b = np.take_along_axis(ids, order, 0)
    p, q = powers[order]
    same = p == -q
    left = [(a[same], b[same]), (a[same] + num, b[same] + num)]
    return [*left, (a[~same], b[~same] + num), (a[~same] + num, b[~same])]


def _classes(num: int, graph: Ids, one: Ids, rows: list[tuple[Ids, list[int]]], modulus: int) -> Part:
    plain, inverse = graph[:num], graph[num:]
    classes = np.minimum(plain, inverse)
    names, first, classes = np.unique(classes, return_index=True, return_inverse=True)
    classes = classes.ravel()
    # The first scale of a class is the class itself, not its inverse.
    turned = np.where(plain == plain[first][classes], 1, -1) if num else plain
    made_of: dict[int, Monomial] = {int(name): {} for name in np.unique(classes[one])}
    part = Part(classes, turned, made_of, first)
    users: dict[int, set[int]] = {}
    for ids, powers in rows:
        for column in ids.T.tolist():
            product: Monomial = {}
            for scale, power in zip(column, powers, strict=True):
                if scale >= 0:
                    for name, exponent in part.of(scale, power, modulus).items():
                        product[name] = product.get(name, 0) + exponent
            _eliminate(_reduced(product, modulus), made_of, users, modulus)
    del names
    return part


def _reduced(product: Monomial, modulus: int) -> Monomial:
    if modulus:
        return {name: power % modulus for name, power in product.items() if power % modulus}
    return {name: power for name, power in product.items() if power}


def _eliminate(product: Monomial, made_of: dict[int, Monomial], users: dict[int, set[int]], modulus: int) -> None:
    """Uses ``product = 1`` to write one of its classes by the others."""
    if not product:
        return
    shared = math.gcd(*product.values())
    product = {name: power // shared for name, power in product.items()}
    name = next((name for name, power in product.items() if abs(power) == 1), None)
    if name is None or len(product) == 1:
        for each in product:
            _define(each, {}, made_of, users, modulus)
        return
    power = product.pop(name)
    _define(name, {other: -power * exponent for other, exponent in product.items()}, made_of, users, modulus)


def _define(name: int, made: Monomial, made_of: dict[int, Monomial], users: dict[int, set[int]], modulus: int) -> None:
    made_of[name] = made = _reduced(made, modulus)
    for user in users.pop(name, set()):
        old = made_of[user]
        power = old.pop(name, 0)  # none is left where an earlier step cancelled it
        for other, exponent in made.items():
            old[other] = old.get(other, 0) + power * exponent
        made_of[user] = _reduced(old, modulus)
        for other in made_of[user]:
            users.setdefault(other, set()).add(user)
    for other in made:
        users.setdefault(other, set()).add(name)
