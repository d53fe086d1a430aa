"""Which neurons own each entry of a parameter: the labels of a spec, spelled out as indices.

An entry may belong to several neurons at once (one on each axis, more through further scales), and along a joined
axis some entries belong to none of a space.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from ..._errors import SpecError
from ...spec import Axis, SymmetrySpec


@final
@dataclass(frozen=True, eq=False)
class Owners:
    """The neurons of one label.

    Attributes:
        part: The label.
        dims: Axes of the parameter on which the owner depends, in order; the label stands on axis ``dim``.
        dim: See ``dims``.
        neuron: Neuron of ``part.space`` that owns each entry, -1 where the label does not reach; one axis per ``dims``.
    """

    part: Axis
    dims: tuple[int, ...]
    dim: int
    neuron: Int[Tensor, "..."]

    def of(self, spec: SymmetrySpec, name: str) -> Tensor:
        """The neuron of the space ``name`` around (or like) the label's that owns each entry."""
        assert self.part.space is not None, "only labels of a space have owners"
        each = spec.space[self.part.space].size // spec.space[name].size
        return torch.where(self.neuron < 0, -1, self.neuron // each)


def owners(spec: SymmetrySpec, name: str) -> Iterator[Owners]:
    """The owners of the entries of the named parameter, for every label that names a space."""
    for dim, axis in enumerate(spec.axes[name]):
        start, total = 0, sum(map(spec.length, axis.parts))
        for part in axis.parts:
            stop = start + spec.length(part)
            if part.over is not None:
                yield _of_a_block(spec, name, dim, part)
            elif part.space is not None:
                neuron = torch.full((total,), -1)
                neuron[start:stop] = _in_order(spec, part)
                yield Owners(part, (dim,), dim, neuron)
            start = stop


def _in_order(spec: SymmetrySpec, part: Axis) -> Tensor:
    assert part.space is not None, "only labels of a space have owners"
    if part.index is not None:
        return torch.tensor(part.index)
    return torch.arange(spec.space[part.space].size).repeat_interleave(part.repeat).repeat(part.times)


def _of_a_block(spec: SymmetrySpec, name: str, dim: int, part: Axis) -> Owners:
    """An axis that holds the neurons of one block: of the neuron that another axis of the parameter names."""
    assert part.space is not None, "checked by the spec"
    assert part.over is not None, "checked by the caller"
    over = spec.root(part.over)
    for other in owners_of_other_axes(spec, name, dim):
        if over not in spec.ancestors(str(other.part.space)):
            continue
        inner = spec.space[part.space].size // spec.space[over].size
        neuron = other.of(spec, over).unsqueeze(-1) * inner + torch.arange(inner)
        if other.dim > dim:
            neuron = neuron.T
        return Owners(part, tuple(sorted((other.dim, dim))), dim, neuron)
    raise SpecError(
        f"parameter {name!r} reads one block of {part.space!r}, and no other axis of it says which. "
        f"Give another axis the space {over!r}, or one within it."
    )


def owners_of_other_axes(spec: SymmetrySpec, name: str, dim: int) -> Iterator[Owners]:
    """Owners along the axes that hold whole spaces, but for axis ``dim``."""
    for other, axis in enumerate(spec.axes[name]):
        if other != dim and isinstance(axis, Axis) and axis.space is not None and axis.over is None:
            yield Owners(axis, (other,), other, _in_order(spec, axis))
