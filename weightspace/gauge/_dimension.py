"""How large the gauge is: continuous scales, signs and permutations, per neuron space and in all.

What counts is what moves a parameter. The logarithm of the factor on each parameter entry is a sum of log-scales
times powers; the rank of this linear map is the number of scales, and its rank modulo 2 that of signs. A scale that
stands on no parameter, or only together with another one, thus counts once or not at all.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Literal, final

from ..spec import Axis, NeuronSpace, Scale, SymmetrySpec
from ._elimination import LARGE_PRIME, Row, pivot_columns
from ._table import text_table

_Kind = Literal["size", "sign"]
_GROUPS = {"size": ("positive", "nonzero"), "sign": ("sign", "nonzero")}


@final
@dataclass(frozen=True)
class SpaceDimension:
    """Degrees of freedom of one neuron space.

    Attributes:
        name: Of the space.
        size: Its neurons.
        scales: Continuous degrees of freedom that it adds to the spaces before it.
        signs: Independent changes of sign that it adds to the spaces before it.
        log2_permutations: Of the number of its own permutations; 0 where another space holds them.
    """

    name: str
    size: int
    scales: int
    signs: int
    log2_permutations: float


@final
@dataclass(frozen=True)
class Dimension:
    """Degrees of freedom of a gauge, by free neuron space; prints as a table."""

    spaces: tuple[SpaceDimension, ...]

    @property
    def scales(self) -> int:
        """Continuous degrees of freedom in all."""
        return sum(space.scales for space in self.spaces)

    @property
    def signs(self) -> int:
        """Independent changes of sign in all."""
        return sum(space.signs for space in self.spaces)

    @property
    def log2_permutations(self) -> float:
        """Of the number of permutations in all."""
        return math.fsum(space.log2_permutations for space in self.spaces)

    def __str__(self) -> str:
        rows = [(s.name, str(s.size), str(s.scales), str(s.signs), f"{s.log2_permutations:.1f}") for s in self.spaces]
        size = sum(space.size for space in self.spaces)
        total = ("in all", str(size), str(self.scales), str(self.signs), f"{self.log2_permutations:.1f}")
        return text_table(("space", "neurons", "scales", "signs", "log2 permutations"), [*rows, total])


def dimension(spec: SymmetrySpec) -> Dimension:
    """Degrees of freedom of the gauge, those that move a parameter: scales, signs and permutations by space."""
    scales, signs = _independent(spec, "size"), _independent(spec, "sign")
    moving = _moving(spec)
    return Dimension(
        tuple(
            SpaceDimension(
                space.name,
                space.size,
                scales[space.name],
                signs[space.name],
                _log2_permutations(spec, space) if space.name in moving else 0.0,
            )
            for space in spec.free
        )
    )


def _independent(spec: SymmetrySpec, kind: _Kind) -> dict[str, int]:
    """By free space, the number of its scales (or signs) that move parameters as none before them do."""
    start, columns = {}, 0
    for space in spec.free:
        if space.scale in _GROUPS[kind]:
            start[space.name] = columns
            columns += space.size
    rows = chain.from_iterable(_rows(box) for name in spec.axes for box in _boxes(spec, name, start, kind))
    pivots = pivot_columns(rows, LARGE_PRIME if kind == "size" else 2)
    count = dict.fromkeys((space.name for space in spec.free), 0)
    for name, first in start.items():
        count[name] = sum(first + i in pivots for i in range(spec.space[name].size))
    return count


def _rows(box: list[list[Row]]) -> Iterator[Row]:
    """Rows that span the factors of all entries of a box; an entry's factor is a sum, a term from each axis."""
    acted = [terms for terms in box if any(terms)]
    if len(acted) == 1:
        yield from filter(None, acted[0])
        return
    # The span of all sums is that of the differences along each axis and of one sum.
    for terms in acted:
        yield from filter(None, (_combined(one, other, -1) for one, other in pairwise(terms)))
    total: Row = {}
    for terms in acted:
        total = _combined(total, terms[0], 1)
    if total:
        yield total


def _boxes(spec: SymmetrySpec, name: str, start: dict[str, int], kind: _Kind) -> Iterator[list[list[Row]]]:
    """For every block of the parameter's entries (mostly there is one), the factors on each axis, without repeats."""
    axes = spec.axes[name]
    over = next((part.over for axis in axes for part in axis.parts if part.over), None)
    for block in range(spec.space[over].size if over else 1):
        box = []
        for axis in axes:
            terms: list[Row] = []
            for part in axis.parts:
                neurons = _neurons(spec, part, over, block)
                distinct = {tuple(sorted(_term(spec, part, n, start, kind).items())) for n in neurons}
                terms.extend(map(dict, sorted(distinct)))
            box.append(terms)
        yield box


def _neurons(spec: SymmetrySpec, part: Axis, over: str | None, block: int) -> list[int]:
    """The neurons that own entries of this part; those in the block of the space ``over`` if it says which is read."""
    if part.space is None:
        return [0]
    size = spec.space[part.space].size
    neurons = range(size) if part.index is None else sorted(set(part.index))
    if over is None or spec.root(over) not in spec.ancestors(part.space):
        return list(neurons)
    inner = size // spec.space[over].size
    return [n for n in neurons if n // inner == block]


def _term(spec: SymmetrySpec, part: Axis, neuron: int, start: dict[str, int], kind: _Kind) -> Row:
    """The exponents with which scales multiply the entries of this neuron."""
    term: Row = {}
    if part.space is None:
        return term
    size = spec.space[part.space].size
    for scale in (Scale(part.space, part.power), *part.scales):
        if scale.space in start and scale.part in ("all", kind):
            column = start[scale.space] + neuron // (size // spec.space[scale.space].size)
            term = _combined(term, {column: scale.power}, 1)
    return term


def _combined(one: Row, other: Row, times: int) -> dict[int, int]:
    total = dict(one)
    for column, value in other.items():
        total[column] = total.get(column, 0) + times * value
    return {column: value for column, value in total.items() if value}


def _moving(spec: SymmetrySpec) -> set[str]:
    """Spaces whose permutation moves entries of a parameter, their own or those of a space within."""
    found: set[str] = set()
    waiting = [part.space for name in spec.axes for axis in spec.axes[name] for part in axis.parts if part.space]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            space = spec.space[name]
            waiting += [other for other in (space.like, space.within, space.along) if other]
    return found


def _log2_permutations(spec: SymmetrySpec, space: NeuronSpace) -> float:
    """Of the permutations that are this space's own: all, or those inside the blocks that another space moves."""
    if space.like or space.along or space.ordered:
        return 0.0
    blocks = spec.space[space.within].size if space.within else 1
    return blocks * math.lgamma(space.size // blocks + 1) / math.log(2)
