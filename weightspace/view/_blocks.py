"""The blocks of a parameter: what of it are matrices between two fields, features of one, or plain numbers."""

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import final

from torch import Tensor

from .._errors import SpecError
from ..spec import SymmetrySpec
from ._pieces import Field, Piece, pieces


@final
@dataclass(frozen=True, eq=False)
class Block:
    """One piece of each axis of a parameter.

    As a tensor it is ``[b, *groups, n_0, n_1, ..., taps]``: an axis of neurons for each end, those a matrix reads as
    fan-in (its target) first, and one axis of groups if it has two ends.

    Attributes:
        name: Of the parameter.
        pieces: By axis.
        acted: Axes with neurons, in the order of ``ends``.
        ends: What moves its neurons.
        odd: Spaces of size 1 whose sign multiplies the whole block.
        groups: Equal blocks of neurons at both ends that only meet each other.
    """

    name: str
    pieces: tuple[Piece, ...]
    acted: tuple[int, ...]
    ends: tuple[Field, ...]
    odd: tuple[str, ...]
    groups: int

    @property
    def taps(self) -> int:
        """Numbers per combination of neurons."""
        return prod(piece.each for piece in self.pieces)

    @property
    def offset(self) -> float:
        """Is added to the entries before scales act."""
        return max((piece.offset for piece in self.pieces), default=0.0)

    @property
    def in_order(self) -> bool:
        """Whether the block is a slice of its parameter, with axes split and swapped."""
        return all(piece.index is None for piece in self.pieces)

    @property
    def size(self) -> int:
        """Number of entries of a network."""
        return prod(piece.neurons * piece.each for piece in self.pieces)

    def shape(self) -> list[int]:
        """Of a network's block."""
        neurons = [self.pieces[dim].neurons for dim in self.acted]
        if len(neurons) == 2:
            neurons = [self.groups, neurons[0] // self.groups, neurons[1]]
        return [*neurons, self.taps]

    def split(self) -> tuple[list[int], list[int]]:
        """Sizes of every axis as (neurons, each), in their order, and the order ends, taps."""
        sizes, neurons, each = [], [], []
        for piece in self.pieces:
            one, other = len(sizes) + 1, len(sizes) + 2
            sizes += [piece.each, piece.neurons] if piece.turned else [piece.neurons, piece.each]
            neurons.append(other if piece.turned else one)
            each.append(one if piece.turned else other)
        rest = [neurons[dim] for dim in range(len(self.pieces)) if dim not in self.acted]
        return sizes, [0, *(neurons[dim] for dim in self.acted), *rest, *each]

    def take(self, value: Tensor) -> Tensor:
        """The block of a whole parameter ``[b, *shape]``, for blocks in order: a view where torch has one."""
        for dim, piece in enumerate(self.pieces):
            value = value.narrow(dim + 1, piece.start, piece.length)
        sizes, order = self.split()
        return value.reshape(len(value), *sizes).permute(order).reshape(len(value), *self.shape())

    def put(self, block: Tensor) -> Tensor:
        """The slice of the parameter that :meth:`take` took."""
        sizes, order = self.split()
        moved = block.reshape(len(block), *(sizes[place - 1] for place in order[1:]))
        back = [order.index(place) for place in range(len(order))]
        return moved.permute(back).reshape(len(block), *(piece.length for piece in self.pieces))


def blocks(spec: SymmetrySpec, name: str) -> list[Block]:
    """The blocks of the named parameter, which hold each of its entries once.

    Raises:
        SpecError: if its labels cannot be read as blocks, by name.
    """
    axes = [pieces(spec, name, dim) for dim in range(len(spec.axes[name]))]
    return [_block(spec, name, combination) for combination in product(*axes)]


def _block(spec: SymmetrySpec, name: str, parts: tuple[Piece, ...]) -> Block:
    def place(dim: int) -> tuple[bool, int, int]:
        power = parts[dim].power
        return parts[dim].over is not None, (power < 0) - (power > 0), dim

    acted = sorted((dim for dim, piece in enumerate(parts) if piece.field is not None), key=place)
    odd: frozenset[str] = frozenset()
    for piece in parts:
        odd = odd ^ piece.odd
    ends = tuple(field for dim in acted if (field := parts[dim].field) is not None)
    groups, over = 1, [piece.over for piece in parts if piece.over is not None]
    if over:
        if len(acted) != 2 or len(over) > 1 or over[0] not in spec.ancestors(ends[0].root):
            raise SpecError(
                f"parameter {name!r} reads one block of a space, and no other axis of it alone says which. "
                f"Give exactly one other axis the space {over[0]!r}, or one within it."
            )
        groups = spec.space[over[0]].size
    return Block(name, parts, tuple(acted), ends, tuple(sorted(odd)), groups)
