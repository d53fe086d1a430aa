"""The pieces of a parameter axis: runs of entries that one permutation moves and one sign multiplies.

A piece holds every neuron of one permutation equally often, so that its entries stand in a rectangle of neurons and
*taps* (positions of a flattened map, gates of a cell, kernel elements). Where labels scatter a space over an axis,
the entries are sorted by a table.
"""

from dataclasses import dataclass
from typing import final

from .._errors import SpecError
from ..spec import Axis, SymmetrySpec

SIGNED = ("sign", "nonzero")
"""Scale groups that hold signs."""


@final
@dataclass(frozen=True, order=True)
class Field:
    """Neurons that are permuted as those of ``root`` and multiplied by the signs of the spaces ``signs``."""

    root: str
    signs: tuple[str, ...] = ()

    def times(self, signs: tuple[str, ...]) -> "Field":
        """The field whose states are multiplied by further signs; equal ones cancel."""
        return Field(self.root, tuple(sorted(set(self.signs) ^ set(signs))))


@final
@dataclass(frozen=True, eq=False)
class Piece:
    """Entries of one axis, ``neurons`` times ``each``.

    Attributes:
        field: What moves them; ``None`` if nothing does.
        odd: Spaces of size 1 whose sign multiplies all of them.
        start: First entry on the axis.
        length: Number of entries.
        neurons: Number of neurons (of one block, see ``over``).
        each: Entries per neuron.
        turned: The neurons run faster than the entries of each.
        index: Places on the axis by neuron and entry, where these are not in order; -1: there is none.
        over: Space whose blocks are read, one for each neuron of another axis.
        power: Of the scale; tells fan-in from fan-out.
        offset: Is added before scales act.
    """

    field: Field | None
    odd: frozenset[str]
    start: int
    length: int
    neurons: int = 1
    each: int = 1
    turned: bool = False
    index: tuple[int, ...] | None = None
    over: str | None = None
    power: int = 0
    offset: float = 0.0


def pieces(spec: SymmetrySpec, name: str, dim: int) -> list[Piece]:
    """The pieces of an axis, which hold each of its entries once.

    Raises:
        SpecError: if neurons that are permuted own different numbers of entries, or blocks are repeated.
    """
    found: list[Piece] = []
    scattered: dict[str, list[tuple[int, int, Axis]]] = {}
    start = 0
    for part in spec.axes[name][dim].parts:
        length = spec.length(part)
        if part.space is None:
            found.append(Piece(None, frozenset(), start, length, each=length))
        elif part.over is not None:
            found.append(_block(spec, name, part, start))
        elif part.index is None:
            size = spec.space[part.space].size
            if part.times > 1 and part.repeat > 1:
                places = [(k * size + i) * part.repeat + r for i in range(size) for k in range(part.times)
                          for r in range(part.repeat)]  # fmt: skip
                found.append(_piece(spec, part, start, length, size, index=tuple(start + p for p in places)))
            else:
                found.append(_piece(spec, part, start, length, size, turned=part.times > 1))
        else:
            entries = [(neuron, start + place, part) for place, neuron in enumerate(part.index)]
            scattered.setdefault(spec.root(part.space), []).extend(entries)
        start += length
    for root, entries in scattered.items():
        found += _sorted(spec, name, root, entries)
    return found


def _piece(
    spec: SymmetrySpec,
    part: Axis,
    start: int,
    length: int,
    neurons: int,
    *,
    turned: bool = False,
    index: tuple[int, ...] | None = None,
) -> Piece:
    field, odd = _acting(spec, part)
    return Piece(
        field, odd, start, length, neurons, length // neurons, turned, index, None, _power(part), part.offset
    )  # fmt: skip


def _block(spec: SymmetrySpec, name: str, part: Axis, start: int) -> Piece:
    if part.times > 1 or part.repeat > 1 or part.index is not None:
        raise SpecError(
            f"parameter {name!r} repeats one block of {part.space!r} along an axis, which is not read as matrices. "
            "Pin its spaces: write them as fixed in the spec."
        )
    assert part.over is not None, "checked by the caller"
    field, odd = _acting(spec, part)
    length = spec.length(part)
    return Piece(field, odd, start, length, length, over=spec.root(part.over), power=_power(part), offset=part.offset)


def _acting(spec: SymmetrySpec, part: Axis) -> tuple[Field, frozenset[str]]:
    """The permutation and the signs of a label; those of spaces of one neuron act on all entries alike."""
    assert part.space is not None, "checked by the caller"
    signs: set[str] = set()
    for space, power, which in [(part.space, part.power, "all"), *((s.space, s.power, s.part) for s in part.scales)]:
        acts = spec.space[space]
        if power % 2 and which in ("all", "sign") and not acts.fixed and acts.scale in SIGNED:
            signs ^= {space}
    root = spec.root(part.space)
    odd = frozenset(space for space in signs if spec.space[space].size == 1 and spec.root(space) != root)
    return Field(root, tuple(sorted(signs - odd))), odd


def _power(part: Axis) -> int:
    """Of the own scale, or of the first that acts instead of it."""
    return next((power for power in (part.power, *(scale.power for scale in part.scales)) if power), 0)


def _sorted(spec: SymmetrySpec, name: str, root: str, entries: list[tuple[int, int, Axis]]) -> list[Piece]:
    """Pieces of entries that list their neurons, ``(neuron, place, label)``: the r-th entries of all neurons."""
    size, still = spec.space[root].size, spec.space[root].fixed or _keeps_places(spec, root)
    ranks, groups = [0] * size, {}
    for neuron, place, part in sorted(entries, key=lambda entry: entry[1]):
        key = (ranks[neuron], *_acting(spec, part), part.offset if still else 0.0)
        groups.setdefault(key if still else key[:1], []).append((neuron, place, part))
        ranks[neuron] += 1
    found: dict[object, tuple[Axis, list[list[int]]]] = {}
    for members in groups.values():
        places, part = [-1] * size, members[0][2]
        alike = {(*_acting(spec, one), one.offset) for _, _, one in members}
        for neuron, place, _ in members:
            places[neuron] = place
        if not still and (len(members) < size or len(alike) > 1):
            raise SpecError(
                f"parameter {name!r} lists neurons of {root!r} unequally along an axis, so they cannot change places "
                "as a matrix. Pin the space: write it as fixed in the spec."
            )
        _, taps = found.setdefault((*_acting(spec, part), _power(part), part.offset), (part, []))
        taps.append(places)
    result = []
    for part, taps in found.values():
        index = tuple(places[neuron] for neuron in range(size) for places in taps)
        result.append(_piece(spec, part, min(i for i in index if i >= 0), len(index), size, index=index))
    return result


def _keeps_places(spec: SymmetrySpec, root: str) -> bool:
    space = spec.space[root]
    return space.fixed or (space.ordered and (space.within is None or _keeps_places(spec, spec.root(space.within))))
