"""Sums over tables whose entries are rescaled, by products of matrices and vectors.

An entry becomes ``v exp(q * sum of power * log s)``. Where each scale stands on one axis of its table, that is a
product of one factor for each axis: a sum over a row is the row times a vector, and no entry is ever rescaled alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._table import Table, Tables


@final
@dataclass(frozen=True, eq=False)
class _Places:
    """The rows and columns of all tables, one after the other, and the neurons whose scales act on each.

    Attributes:
        place: Row or column, by scale that acts.
        neuron: Whose scale it is.
        power: Of the scale.
        size: Number of places.
    """

    place: Int[Tensor, " k"]
    neuron: Int[Tensor, " k"]
    power: Float[Tensor, " k"]
    size: int

    def exponents(self, log: Float[Tensor, "b n"]) -> Float[Tensor, "b p"]:
        """Sum of power times ``log`` at each place."""
        found = log.new_zeros(len(log), self.size)
        return found.index_add_(1, self.place, self.power * log[:, self.neuron])

    def pulled(self, total: Float[Tensor, "b p"], weight: Callable[[int], float], num: int) -> Float[Tensor, "b n"]:
        """For each neuron the sum of ``weight(power)`` times the totals of its places."""
        factors = torch.tensor([float(weight(power)) for power in self.powers], dtype=torch.float64)
        found = total.new_zeros(len(total), num)
        return found.index_add_(1, self.neuron, factors[self.which] * total[:, self.place])

    @cached_property
    def powers(self) -> list[int]:
        """The powers that occur."""
        return [int(power) for power in self.power.unique().tolist()]

    @cached_property
    def which(self) -> Int[Tensor, " k"]:
        """For each place and neuron the power among those that occur."""
        return torch.bucketize(self.power, torch.tensor(self.powers, dtype=torch.float64))


@final
class Sums:
    """Tables ready to be summed at any scales.

    Args:
        tables: What is summed.
        q: Its power.
        own: The only neurons whose sums will be asked for, to save those of the others.
    """

    def __init__(self, tables: Tables, q: float, own: slice | None = None) -> None:
        self.q, self.tables = q, tables
        self.vectors: list[tuple[slice, Tensor]] = []
        self.matrices: list[tuple[slice, slice, Tensor]] = []
        rest: list[Table] = []
        place, neuron, power, size = [], [], [], 0
        for table in tables.tables:
            if table.value.ndim > 3 or any(sum(n > 1 for n in i.owner.shape) > 1 for i in table.incidences):
                rest.append(table)
                continue
            sides = []
            for length in table.value.shape[1:]:
                sides.append(slice(size, size + length))
                size += length
            for incidence in table.incidences:
                owner = incidence.owner.flatten()
                some = owner >= 0
                place.append(sides[_axis(incidence.owner, table.value)].start + some.nonzero()[:, 0])
                neuron.append(owner[some])
                power.append(torch.full((int(some.sum()),), float(incidence.power), dtype=torch.float64))
            if len(sides) == 1:
                self.vectors.append((sides[0], table.value))
            else:
                self.matrices.append((sides[0], sides[1], table.value))
        empty = torch.zeros(0)
        self.places = _Places(
            torch.cat([empty.long(), *place]),
            torch.cat([empty.long(), *neuron]),
            torch.cat([empty.double(), *power]),
            size,
        )
        self.rest = replace(tables, tables=tuple(rest))
        its = self.places.neuron
        asked = torch.full((size,), own is None)
        if own is not None:
            asked[self.places.place[(its >= own.start) & (its < own.stop)]] = True
        self.asked = {side.start: bool(asked[side].any()) for matrix in self.matrices for side in matrix[:2]}

    def at(self, log: Float[Tensor, "b n"]) -> "SumsAt":
        """The sums at these log scales."""
        return SumsAt(self, log)


def _axis(owner: Tensor, value: Tensor) -> int:
    """The axis of a table along which an owner stands: its only long one, or one of length 1."""
    short = (dim for dim, length in enumerate(value.shape[1:]) if length == 1)
    return next((dim for dim, length in enumerate(owner.shape) if length > 1), next(short, 0))


@final
class SumsAt:
    """Sums over rescaled tables, and over their curvature."""

    def __init__(self, sums: Sums, log: Float[Tensor, "b n"]) -> None:
        self.sums = sums
        # Of two factors one may be beyond all numbers where the entry is not.
        self.factor = (sums.q * sums.places.exponents(log)).clamp(-700, 700).exp()
        values = [table.value * (sums.q * table.exponent(log)).exp() for table in sums.rest.tables]
        self.rest = sums.rest.with_values(values)

    @cached_property
    def totals(self) -> Float[Tensor, "b p"]:
        """Of each row and column."""
        found = self._times(self.factor)
        return found.mul_(self.factor)

    def _times(self, vector: Float[Tensor, "b p"]) -> Float[Tensor, "b p"]:
        """Each table times the part of the vector on its other axis; a table of one axis as it is."""
        found = torch.zeros_like(vector)
        asked = self.sums.asked
        for side, value in self.sums.vectors:
            found[:, side] = value
        for row, column, value in self.sums.matrices:
            if asked[row.start]:
                found[:, row] = (value @ vector[:, column, None])[..., 0]
            if asked[column.start]:
                found[:, column] = (vector[:, None, row] @ value)[:, 0]
        return found

    def pull(self, weight: Callable[[int], float]) -> Float[Tensor, "b n"]:
        """For each neuron the sum of ``weight(power)`` times its rescaled entries."""
        pulled = self.sums.places.pulled(self.totals, weight, self.sums.tables.size)
        return pulled + self.rest.pull(weight) if self.rest.tables else pulled

    def total(self) -> Float[Tensor, " b"]:
        """The sum of all rescaled entries."""
        sides = [side for side, _ in self.sums.vectors] + [row for row, _, _ in self.sums.matrices]
        rows = [self.totals[:, side].sum(-1) for side in sides]
        rows += [table.value.flatten(1).sum(-1) for table in self.rest.tables]
        return torch.stack(rows).sum(0)

    def curved(self, vector: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """The second derivatives of the total times a vector, but for one factor of ``q``."""
        places, q = self.sums.places, self.sums.q
        along = places.exponents(vector)
        inner = self._crossed(self.factor * along)
        pulled = places.pulled(q * (self.totals * along + self.factor * inner), float, self.sums.tables.size)
        if not self.rest.tables:
            return pulled
        bent = self.rest.with_values([q * table.value * table.exponent(vector) for table in self.rest.tables])
        return pulled + bent.pull(float)

    def _crossed(self, vector: Float[Tensor, "b p"]) -> Float[Tensor, "b p"]:
        """As ``_times``, without the tables of one axis."""
        found = self._times(vector)
        for side, _ in self.sums.vectors:
            found[:, side] = 0.0
        return found
