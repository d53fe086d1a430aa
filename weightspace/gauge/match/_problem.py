"""The matching problem: two stacks of networks in a common gauge, what moves together, and how far they are apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ..._types import Params
from ...spec import SymmetrySpec
from ._carriers import Family, families


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """Two stacks of networks in a common gauge, and which entries move together.

    Attributes:
        left: The networks to match to.
        right: The networks to move.
        spec: The symmetry of all.
        families: See :func:`families`.
        weighed: Parameters whose distance counts.
        parts: By family, the spec of what a step of it changes.
        rounding: Squared distance, relative to the squared norm of a parameter, that rounding explains.
    """

    left: Params
    right: Params
    spec: SymmetrySpec
    families: tuple[Family, ...]
    weighed: frozenset[str]
    parts: tuple[SymmetrySpec, ...]
    rounding: float = 0.0

    @property
    def num(self) -> int:
        """Pairs of networks."""
        return len(next(iter(self.left.values())))

    @cached_property
    def single(self) -> tuple[Params, Params]:
        """Both stacks in float32, where a comparison decides nothing that rounding could."""
        left, right = (
            {name: value.float() if value.is_floating_point() else value for name, value in params.items()}
            for params in (self.left, self.right)
        )
        return left, right

    @cached_property
    def sizes(self) -> dict[str, Float[Tensor, " b"]]:
        """Squared norm of each parameter that counts, in each network of the left."""
        return {
            name: torch.linalg.vector_norm(value.reshape(len(value), -1), dim=1).double().square()
            for name, value in self.left.items()
            if name in self.weighed
        }

    @property
    def size(self) -> Float[Tensor, " b"]:
        """Squared norm of each network of the left over the entries that count."""
        return total(self.sizes, self.num)


def problem(left: Params, right: Params, spec: SymmetrySpec, rounding: float = 0.0) -> Problem:
    """The matching problem of two stacks ``[b, ...]`` of float networks; ``rounding`` as of :class:`Problem`."""
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
    return Problem(left, right, spec, found, weighed, parts, rounding)


def distances(
    left: Mapping[str, Tensor], right: Mapping[str, Tensor], names: frozenset[str]
) -> dict[str, Float[Tensor, " b"]]:
    """Squared distance of two stacks by parameter, for those among the names that the second one has."""
    return {
        name: torch.linalg.vector_norm((left[name] - value).reshape(len(value), -1), dim=1).double().square()
        for name, value in right.items()
        if name in names
    }


def distance(left: Mapping[str, Tensor], right: Mapping[str, Tensor], names: frozenset[str]) -> Float[Tensor, " b"]:
    """Squared distance of two stacks over the named parameters."""
    return total(distances(left, right, names), len(next(iter(left.values()))))


def total(found: dict[str, Float[Tensor, " b"]], num: int) -> Float[Tensor, " b"]:
    """Sum of squared distances, or of whatever stands by parameter."""
    return torch.stack([torch.zeros(num, dtype=torch.float64), *found.values()]).sum(0)
