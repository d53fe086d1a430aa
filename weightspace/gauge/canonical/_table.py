"""What the scales of neurons multiply: every parameter summed to one number per combination of neurons.

In the logarithms of the scales an entry ``w`` becomes ``w exp(sum of power * log s)`` over its neurons. All neurons of
all spaces stand one after the other in one vector, so that norms, balance and signs are sums over these tables.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, final

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from ...spec import SymmetrySpec
from ..index import owners
from ._sizes import units

Kind = Literal["sign", "size"]
ACTS: dict[Kind, tuple[str, ...]] = {"sign": ("sign", "nonzero"), "size": ("positive", "nonzero")}
"""Scale groups that hold signs, and those that hold magnitudes."""


@final
@dataclass(frozen=True, eq=False)
class Incidence:
    """Neurons (-1: none) that own the entries of a table, and the power of their scale there."""

    owner: Int[Tensor, "..."]
    power: int


@final
@dataclass(frozen=True, eq=False)
class Table:
    """A parameter, summed over the axes on which no scale acts."""

    value: Float[Tensor, "..."]
    incidences: tuple[Incidence, ...]

    def product(self, sign: Float[Tensor, "b n"]) -> Tensor:
        """Product of the signs of the neurons of each entry."""
        total = torch.ones((), dtype=sign.dtype)
        padded = torch.cat([sign, sign.new_ones(len(sign), 1)], -1)
        for incidence in self.incidences:
            total = total * padded[:, incidence.owner]
        return total

    def exponent(self, log: Float[Tensor, "b n"]) -> Tensor:
        """Sum of power times ``log`` over the neurons of each entry."""
        total = torch.zeros((), dtype=log.dtype)
        padded = torch.cat([log, log.new_zeros(len(log), 1)], -1)  # -1 reads the zero at the end
        for incidence in self.incidences:
            total = total + incidence.power * padded[:, incidence.owner]
        return total


@final
@dataclass(frozen=True, eq=False)
class Tables:
    """All tables of a network, and where the neurons of each space begin in a vector of all of them.

    Entries are in units of each network, whose logarithms are kept: without, squares of huge ones are no numbers.
    """

    num: int
    start: dict[str, int]
    size: int
    tables: tuple[Table, ...]
    log_unit: Float[Tensor, " b"]

    @cached_property
    def home(self) -> Int[Tensor, " _n"]:
        """Place of each neuron's space among the spaces; one past them for no neuron (the last entry)."""
        starts = torch.tensor([*self.start.values(), self.size])
        return torch.bucketize(torch.arange(self.size + 1), starts, right=True) - 1

    def pairs(self) -> Iterator[tuple[Table, Incidence]]:
        """Every incidence with its table."""
        for table in self.tables:
            for incidence in table.incidences:
                yield table, incidence

    def some(self, weight: Callable[[int], float]) -> Bool[Tensor, " n"]:
        """Neurons of spaces that own an entry of nonzero ``weight(power)``, whatever its value."""
        found = torch.zeros(self.size + 1, dtype=torch.bool)
        for _, incidence in self.pairs():
            if weight(incidence.power):
                found[incidence.owner.flatten()] = True
        return found[:-1]

    def with_values(self, values: list[Tensor]) -> "Tables":
        """The same tables with other values."""
        return replace(self, tables=tuple(replace(t, value=v) for t, v in zip(self.tables, values, strict=True)))

    def pull(self, weight: Callable[[int], float]) -> Float[Tensor, "b n"]:
        """For each neuron the sum of ``weight(power) * value`` over its entries."""
        total = torch.zeros((self.num, self.size + 1), dtype=torch.float64)
        for table, incidence in self.pairs():
            factor = weight(incidence.power)
            if not factor:
                continue
            away = [dim + 1 for dim, size in enumerate(incidence.owner.shape) if size == 1]
            value = table.value.sum(away, keepdim=True) if away else table.value
            owner = torch.where(incidence.owner < 0, self.size, incidence.owner).flatten()
            total.index_add_(1, owner, factor * value.flatten(1))
        return total[:, :-1]

    def split(self, vector: Shaped[Tensor, "b n"], spec: SymmetrySpec) -> dict[str, Tensor]:
        """The part of each space of a vector of all neurons."""
        return {name: vector[:, start : start + spec.space[name].size] for name, start in self.start.items()}


def tables(
    params: Mapping[str, Tensor],
    spec: SymmetrySpec,
    kind: Kind,
    of: Callable[[Tensor], Tensor],
    *,
    in_units: bool = True,
) -> Tables:
    """Tables of ``of(value)``, summed, for the neurons whose scales have signs or sizes.

    Args:
        params: Stacked parameters.
        spec: Their symmetry.
        kind: Which part of the scales acts.
        of: Odd or even in each entry.
        in_units: Take entries in units of each network (:func:`units`).
    """
    start, size = {}, 0
    for space in spec.free:
        if space.scale in ACTS[kind]:
            start[space.name] = size
            size += space.size
    found, unit = [], units(params)
    unit = unit if in_units else torch.ones_like(unit)
    plain = bool((unit == 1).all())
    for name, axes in spec.params:
        placed: list[tuple[tuple[int, ...], Tensor, int]] = []
        for owned in owners(spec, name):
            scales = [(owned.part.space, owned.part.power, "all")]
            scales += [(scale.space, scale.power, scale.part) for scale in owned.part.scales]
            for space, power, part in scales:
                acts = power % 2 if kind == "sign" else power
                if space in start and part in ("all", kind) and acts:
                    neuron = owned.of(spec, str(space))
                    placed.append((owned.dims, torch.where(neuron < 0, -1, neuron + start[space]), power))
        if not placed:
            continue
        dims = sorted({dim for at, _, _ in placed for dim in at})
        offset = sum(axis.parts[0].offset for axis in axes)  # at most one axis has one
        value = params[name].detach().cpu().double()
        value = value + offset if offset else value
        value = of(value if plain else value / unit.view(-1, *[1] * (value.dim() - 1)))
        away = [dim + 1 for dim in range(len(axes)) if dim not in dims]
        value = value.sum(away) if away else value
        incidences = []
        for at, owner, power in placed:
            shape = [value.shape[1 + place] if dim in at else 1 for place, dim in enumerate(dims)]
            incidences.append(Incidence(owner.reshape(shape), power))
        found.append(Table(value, tuple(incidences)))
    return Tables(len(unit), start, size, tuple(found), unit.log())
