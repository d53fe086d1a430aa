"""The entries that carry each neuron of a space, as rows that can be compared between two networks.

A row is ordered along axes whose neurons are settled (or fixed). Along the others its magnitudes are sorted: then it
does not depend on their order and signs, and rounding moves a sorted row no further than the row itself.
"""

from collections.abc import Set
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..spec import Axis, SymmetrySpec
from .index import Owners, owners

SIGNED = ("sign", "nonzero")


@final
@dataclass(frozen=True, eq=False)
class Rows:
    """Where the entries of one parameter belong to the neurons of a space.

    Attributes:
        name: The parameter.
        dims: Axes of the parameter on which the neuron depends.
        neuron: Neuron of the space that owns each entry along these axes, -1 for none.
        moves: False where the space only scales the entries, and another one places them.
        signs: Spaces like this one whose sign multiplies the entries.
        strange: Other spaces whose sign multiplies them.
        along: By axis of the parameter, the other spaces that say the places on it.
    """

    name: str
    dims: tuple[int, ...]
    neuron: Int[Tensor, "..."]
    moves: bool
    signs: frozenset[str]
    strange: frozenset[str]
    along: dict[int, frozenset[str]]

    def whole(self, placed: Set[str], signed: Set[str]) -> bool:
        """Whether all entries of a row have their places and signs, but for the sign of its own neuron."""
        return self.strange <= signed and all(spaces <= placed for spaces in self.along.values())

    def read(self, value: Tensor, size: int, placed: Set[str], signed: Set[str]) -> Float[Tensor, "n _k"]:
        """The rows of a space of ``size`` neurons, given the spaces whose places and whose signs are settled."""
        dims = self.dims
        value = value.movedim(dims, tuple(range(len(dims)))).flatten(0, len(dims) - 1)
        neuron = self.neuron.flatten()
        own = neuron >= 0
        neuron, rank = neuron[own], _rank(neuron[own])
        rows = value.new_zeros((size, int(rank.max()) + 1 if len(rank) else 0, *value.shape[1:]))
        rows[neuron, rank] = value[own]
        rest = [dim for dim in range(rows.dim() - 2 + len(dims)) if dim not in dims]
        loose = {dim for dim, spaces in self.along.items() if not spaces <= placed}
        axes = [2 + place for place, dim in enumerate(rest) if dim in loose] + ([1] if loose & set(dims) else [])
        if axes:
            rows = rows.movedim(axes, tuple(range(-len(axes), 0))).flatten(-len(axes)).abs().sort(-1).values
        rows = rows if self.strange <= signed else rows.abs()
        return rows.flatten(1)


def rows_of(spec: SymmetrySpec) -> dict[str, list[Rows]]:
    """All rows, by the space that places their neurons."""
    found: dict[str, list[Rows]] = {space.name: [] for space in spec.spaces if not space.like}
    for name in spec.axes:
        labels = list(owners(spec, name))
        pieces: dict[tuple, list[tuple[Owners, Tensor]]] = {}
        for label in labels:
            odd, place = _odd(spec, label.part), spec.root(str(label.part.space))
            beside = [_odd(spec, other.part) for other in labels if other.dim != label.dim]
            for home in dict.fromkeys((place, *(spec.root(scale.space) for scale in label.part.scales))):
                mine = frozenset(space for space in odd if spec.root(space) == home)
                strange = frozenset(spec.root(space) for space in (odd - mine).union(*beside))
                if home == place or mine:
                    # Neurons may change from one part of an axis to another.
                    key = (home, label.dim, home == place, mine, strange)
                    pieces.setdefault(key, []).append((label, label.of(spec, home)))
        for (home, dim, moves, mine, strange), parts in pieces.items():
            neuron = torch.stack([owner for _, owner in parts]).amax(0)
            along = {other.dim: frozenset[str]() for other in labels if other.dim != dim}
            for other in labels:
                if other.dim != dim:
                    along[other.dim] |= movers(spec, str(other.part.space))
            found[home].append(Rows(name, parts[0][0].dims, neuron, moves, mine, strange, along))
    return found


def _odd(spec: SymmetrySpec, part: Axis) -> frozenset[str]:
    """Spaces whose sign a label multiplies by."""
    scales = [(part.space, part.power, "all"), *((scale.space, scale.power, scale.part) for scale in part.scales)]
    return frozenset(
        str(space)
        for space, power, which in scales
        if power % 2 and which != "size" and spec.space[str(space)].scale in SIGNED and not spec.space[str(space)].fixed
    )


def movers(spec: SymmetrySpec, name: str) -> frozenset[str]:
    """The spaces that say the places of the named one's neurons."""
    space = spec.space[spec.root(name)]
    around = [movers(spec, other) for other in (space.within, space.along) if other]
    return frozenset().union({space.name}, *around)


def _rank(owner: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """How many entries before each one have its owner."""
    order = owner.argsort(stable=True)
    count = torch.bincount(owner)
    rank = torch.empty_like(owner)
    rank[order] = torch.arange(len(owner)) - (count.cumsum(0) - count)[owner[order]]
    return rank
