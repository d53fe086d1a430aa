"""What is known about the neurons of a network while it is being read: who moves with whom, and which scales agree.

A *unit* is one index along one axis of one parameter. Reading an operator says which units are one neuron, which
lie in one block, which are told apart; and which products of scales are 1. Nothing is decided before the whole
network has been read, so the order of the operators does not matter.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, final

import numpy as np

FIXED = -1
"""In place of a unit: an entry that belongs to no neuron. In place of a scale: the number 1."""
ZERO = -2
"""In place of a unit or scale: an entry that is zero, which nothing can change."""

Ids = np.ndarray
"""Whole numbers that stand for units, neurons, scales or roles."""


class Power(NamedTuple):
    """Scales, one for each entry, to the power ``size`` of their magnitudes and ``sign`` (0 or 1) of their signs."""

    ids: Ids
    size: int
    sign: int


@final
@dataclass
class Store:
    """Statements about units and scales, as arrays of numbers."""

    num_units: int = 0
    num_scales: int = 0
    num_roles: int = 0
    clock: int = 0  # operators read so far
    born: list[tuple[int, int]] = field(default_factory=list)  # first unit of each axis, and the time
    scaled: list[tuple[int, int]] = field(default_factory=list)  # first scale of each array, and the time
    owners: list[Ids] = field(default_factory=list)  # unit of each scale
    same: list[tuple[Ids, Ids]] = field(default_factory=list)
    blocks: list[tuple[Ids, Ids]] = field(default_factory=list)  # member, block
    roles: list[tuple[Ids, Ids]] = field(default_factory=list)  # role, unit
    relations: list[tuple[Power, ...]] = field(default_factory=list)  # whose product is 1
    made: set[int] = field(default_factory=set)  # first units of axes that layers make
    inputs: dict[int, str] = field(default_factory=dict)  # first unit of an axis that reads an input: its origin
    read: set[int] = field(default_factory=set)  # first units of axes that layers read
    outputs: list[Ids] = field(default_factory=list)

    def units(self, size: int) -> Ids:
        """New units."""
        self.born.append((self.num_units, self.clock))
        self.num_units += size
        return np.arange(self.num_units - size, self.num_units)

    def scales(self, owners: Ids) -> Ids:
        """New scales, one for each unit of ``owners`` (``FIXED``: of no unit)."""
        self.owners.append(owners.ravel())
        self.scaled.append((self.num_scales, self.clock))
        self.num_scales += owners.size
        return np.arange(self.num_scales - owners.size, self.num_scales).reshape(owners.shape)

    def unify(self, a: Ids, b: Ids) -> None:
        """Each unit of ``a`` is the same neuron as that of ``b``; beside an entry of no neuron it stays in place."""
        a, b = (ids.ravel() for ids in np.broadcast_arrays(a, b))
        both = (a >= 0) & (b >= 0)
        if both.any():
            self.same.append((a[both], b[both]))
        self.tell_apart(a[(a >= 0) & (b == FIXED)])
        self.tell_apart(b[(b >= 0) & (a == FIXED)])

    def tell_apart(self, units: Ids) -> None:
        """No unit of ``units`` can take the place of another one."""
        units = np.unique(units[units >= 0])
        if units.size:
            self.roles.append((self._new_roles(units.size), units))

    def tell_apart_along(self, units: Ids, dims: tuple[int, ...]) -> None:
        """Units at different indices along ``dims`` cannot take each other's places."""
        shape = [size if dim in dims else 1 for dim, size in enumerate(units.shape)]
        roles = self._new_roles(int(np.prod(shape))).reshape(shape)
        self._play(np.broadcast_to(roles, units.shape), units)

    def play(self, units: Ids) -> None:
        """The units occur together in a tensor, as often as they are listed."""
        self._play(np.broadcast_to(self._new_roles(1), units.shape), units)

    def block(self, members: Ids, blocks: Ids) -> None:
        """Each unit of ``members`` moves with its block."""
        members, blocks = (ids.ravel() for ids in np.broadcast_arrays(members, blocks))
        both = (members >= 0) & (blocks >= 0)
        if both.any():
            self.blocks.append((members[both], blocks[both]))
        self.tell_apart(members[(members >= 0) & (blocks == FIXED)])
        self.tell_apart(blocks[(blocks >= 0) & (members == FIXED)])

    def relate(self, *powers: Power) -> None:
        """The product of ``powers`` is 1 at every entry; nothing is said where one of them is zero."""
        if not powers:
            return
        ids = np.stack([array.ravel() for array in np.broadcast_arrays(*(power.ids for power in powers))])
        ids = np.unique(ids[:, (ids != ZERO).all(0) & (ids >= 0).any(0)], axis=1)
        if ids.size:
            self.relations.append(tuple(Power(row, p.size, p.sign) for row, p in zip(ids, powers, strict=True)))

    def pin(self, *powers: Power, size: bool = True, sign: bool = True) -> None:
        """The magnitudes or signs of the scales are 1."""
        for power in powers:
            if size and power.size:
                self.relate(Power(power.ids, 1, 0))
            if sign and power.sign:
                self.relate(Power(power.ids, 0, 1))

    def _new_roles(self, num: int) -> Ids:
        self.num_roles += num
        return np.arange(self.num_roles - num, self.num_roles)

    def _play(self, roles: Ids, units: Ids) -> None:
        roles, units = roles.ravel(), units.ravel()
        here = units >= 0
        if here.any():
            self.roles.append((roles[here], units[here]))
