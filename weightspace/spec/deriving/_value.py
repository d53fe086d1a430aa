"""A tensor of the forward pass: which units its entries belong to, and by which scales they are multiplied."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from ._store import FIXED, ZERO, Ids, Power, Store


@final
@dataclass(frozen=True, eq=False)
class Field:
    """Units of a tensor's entries, of size 1 along the axes on which they do not depend.

    ``home`` is the axis of a field that has one unit only, where it is known. ``copied`` says that entries of one
    unit are the same number, repeated, so that their readers may change places. ``places`` numbers the entries of
    each unit, where an axis holds several.
    """

    ids: Ids
    home: int | None = None
    copied: bool = False
    places: Ids | None = None

    @property
    def dims(self) -> tuple[int, ...]:
        """Axes along which the units differ."""
        return tuple(dim for dim, size in enumerate(self.ids.shape) if size > 1)

    def at(self, dim: int) -> bool:
        """Whether this labels axis ``dim``."""
        return self.ids.shape[dim] > 1 or (self.ids.size == 1 and self.home in (dim, None))


@final
@dataclass(frozen=True, eq=False)
class Term:
    """A factor of a tensor's entries: a power of scales, shaped as the ids of a field."""

    ids: Ids
    size: int = 1
    sign: int = 1
    home: int | None = None

    @property
    def power(self) -> Power:
        return Power(self.ids, self.size, self.sign)

    @property
    def inverse(self) -> Power:
        return Power(self.ids, -self.size, self.sign)

    def at(self, dim: int) -> bool:
        """Whether this labels axis ``dim``."""
        return self.ids.shape[dim] > 1 or (self.ids.size == 1 and self.home in (dim, None))


@final
@dataclass(frozen=True, eq=False)
class Value:
    """A tensor and its labels; with none of them it does not change when the gauge acts.

    Attributes:
        origin: The input it was computed from, so that two layers that read the same input share a space.
        param: Whether it is a parameter, or a part of one.
        zero: Whether all its entries are zero.
        index: Whether it holds positions, which move with the neurons in ways that are not followed.
        even: Axes along which all entries are one number, repeated.
    """

    shape: tuple[int, ...]
    fields: tuple[Field, ...] = ()
    terms: tuple[Term, ...] = ()
    origin: str = ""
    param: bool = False
    zero: bool = False
    index: bool = False
    even: frozenset[int] = frozenset()

    @property
    def moved(self) -> bool:
        """Whether the gauge may change it."""
        return bool(self.fields or self.terms)


def insert(value: Value, dims: Iterable[int]) -> Value:
    """``value`` with axes of size 1 inserted at ``dims`` of the result."""
    for dim in sorted(dims):
        value = relabel(
            value, lambda ids, dim=dim: np.expand_dims(ids, dim), lambda home, dim=dim: home + (home >= dim)
        )
        value = replace(value, shape=(*value.shape[:dim], 1, *value.shape[dim:]))
    return value


def permute(value: Value, order: tuple[int, ...]) -> Value:
    """``value`` with its axes in another order."""
    value = relabel(value, lambda ids: ids.transpose(order), order.index)
    return replace(value, shape=tuple(value.shape[dim] for dim in order))


def drop(value: Value, dims: Iterable[int]) -> Value:
    """``value`` without axes ``dims``, which label nothing."""
    gone = set(dims)
    order = [dim for dim in range(len(value.shape)) if dim not in gone]
    value = relabel(
        value, lambda ids: ids.squeeze(tuple(gone)), lambda home: order.index(home) if home in order else None
    )
    return replace(value, shape=tuple(value.shape[dim] for dim in order))


def relabel(value: Value, ids: Callable[[Ids], Ids], home: Callable[[int], int | None]) -> Value:
    """``value`` with all its labels changed alike."""

    def new(label: Field | Term) -> dict[str, object]:
        return {"ids": ids(label.ids), "home": None if label.home is None else home(label.home)}

    return replace(
        value,
        fields=tuple(replace(label, **new(label)) for label in value.fields),
        terms=tuple(replace(label, **new(label)) for label in value.terms),
        even=frozenset(dim for old in value.even if (dim := home(old)) is not None),
    )


def ranked(value: Value, ndim: int) -> Value:
    """``value`` broadcast to ``ndim`` axes."""
    return insert(value, range(ndim - len(value.shape)))


def cut(value: Value, dim: int, start: int, stop: int) -> Value:
    """``value`` from ``start`` to ``stop`` along axis ``dim``."""

    def here(label: Field | Term) -> Ids:
        return label.ids if label.ids.shape[dim] == 1 else label.ids.take(range(start, stop), dim)

    return replace(
        value,
        shape=(*value.shape[:dim], stop - start, *value.shape[dim + 1 :]),
        fields=tuple(replace(label, ids=here(label)) for label in value.fields),
        terms=tuple(replace(term, ids=here(term)) for term in value.terms),
    )


def pieces(value: Value, dim: int, num: int) -> list[Value]:
    """``num`` equal parts of ``value`` along axis ``dim``."""
    size = value.shape[dim] // num
    return [cut(value, dim, k * size, (k + 1) * size) for k in range(num)]


def multiply(store: Store, x: Value, y: Value) -> Value:
    """Entry-wise product of two values of the same number of axes."""
    fields = meet(store, x, y)
    shape = np.broadcast_shapes(x.shape, y.shape)
    zero = x.zero or y.zero
    return Value(shape, fields, x.terms + y.terms, x.origin or y.origin, x.param and y.param, zero, even=_both(x, y))


def _both(x: Value, y: Value) -> frozenset[int]:
    """Axes along which what is made entry by entry of ``x`` and ``y`` is one number, repeated."""

    def constant(value: Value) -> set[int]:
        return {dim for dim, size in enumerate(value.shape) if size == 1 or dim in value.even}

    return frozenset(constant(x) & constant(y))


def add(store: Store, x: Value, y: Value) -> Value:
    """Entry-wise sum of two values of the same number of axes; their scales must agree."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    if x.zero or y.zero:
        return replace(y if x.zero else x, shape=shape)
    fields = meet(store, x, y)
    equate(store, x.terms, y.terms)
    # Where one summand is zero, the other one knows the scale.
    terms = x.terms if any((term.ids != ZERO).all() for term in x.terms) or not y.terms else y.terms
    origin = x.origin if x.origin == y.origin else ""
    return Value(shape, fields, terms, origin, x.param and y.param, even=_both(x, y))


def equate(store: Store, x: tuple[Term, ...], y: tuple[Term, ...]) -> None:
    """The products of the terms agree at every entry."""
    store.relate(*(term.power for term in x), *(term.inverse for term in y))


def meet(store: Store, x: Value, y: Value) -> tuple[Field, ...]:
    """Units of a tensor whose entries depend on those of ``x`` and ``y`` at the same place."""
    x, y = _told(store, x, y), _told(store, y, x)
    for one, other in ((x, y), (y, x)):
        for label in one.fields:
            open_dims = tuple(
                dim
                for dim in label.dims
                if other.shape[dim] > 1 and dim not in other.even and not any(f.at(dim) for f in other.fields)
            )
            if open_dims and not other.zero:
                store.tell_apart_along(label.ids, open_dims)
    for a in x.fields:
        for b in y.fields:
            meet_fields(store, a, b)
    kept: list[Field] = []
    for label in sorted((*x.fields, *y.fields), key=lambda label: (-len(label.dims), -len(np.unique(label.ids)))):
        # Coarser labels follow from finer ones.
        near = [k for k, other in enumerate(kept) if _covers(other, label)]
        if not near:
            kept.append(label)
        for k in near:
            ids = kept[k].ids
            kept[k] = replace(kept[k], ids=np.where(ids == ZERO, label.ids, ids) if (ids == ZERO).any() else ids)
    return tuple(kept)


def _told(store: Store, x: Value, y: Value) -> Value:
    """``x`` with units of their own for copies of one unit, where ``y`` tells these apart."""

    def fine(label: Field) -> Field:
        if not label.copied or not any(_tells_apart(other, label) for other in y.fields):
            return label
        units = Field(store.units(label.ids.size).reshape(label.ids.shape), label.home)
        store.block(units.ids, label.ids)
        for other in y.fields:
            if _tells_apart(other, label):
                shared = tuple(dim for dim in label.dims if dim in other.dims)
                meet_fields(store, other, project(store, label, shared))
        return units

    return replace(x, fields=tuple(fine(label) for label in x.fields))


def _tells_apart(other: Field, label: Field) -> bool:
    """Whether ``other`` has different units beside copies of one unit of ``label``, at indices of axes of both."""
    shared = [dim for dim in label.dims if dim in other.dims]
    if not shared or other.dims == label.dims:
        return False
    mine, theirs = (_rows(each.ids, shared) for each in (label, other))
    return len(np.unique(np.stack([mine, theirs]), axis=1).T) > len(np.unique(mine))


def _rows(ids: Ids, dims: Sequence[int]) -> Ids:
    """For each index along ``dims`` a number that is equal where the same units lie there."""
    rest = [dim for dim in range(ids.ndim) if dim not in dims]
    rows = ids.transpose([*dims, *rest]).reshape(int(np.prod([ids.shape[dim] for dim in dims])), -1)
    _, first, places = np.unique(np.sort(rows, 1), axis=0, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[places.ravel()]  # in the order in which they are met


def _covers(other: Field, label: Field) -> bool:
    """Whether units of ``label`` follow from those of ``other``, which may be copies along some axis."""
    if not set(label.dims) <= set(other.dims):
        return False
    if not label.dims:
        return other.home == label.home or other.home is None or label.home is None
    num = len(np.unique(other.ids))
    return num == other.ids.size or num == len(_pairs(other, label).T)


def _pairs(a: Field, b: Field) -> Ids:
    """The units of both fields that lie at the same entries."""
    return np.unique(np.stack([ids.ravel() for ids in np.broadcast_arrays(a.ids, b.ids)]), axis=1)


def meet_fields(store: Store, a: Field, b: Field) -> None:
    shared = set(a.dims) & set(b.dims)
    if a.dims == b.dims:
        if shared or a.home == b.home or a.home is None or b.home is None:
            _pair(store, a, b)
    elif not shared:
        return
    elif shared == set(b.dims):
        _inside(store, a, b)
    elif shared == set(a.dims):
        _inside(store, b, a)
    else:
        left, right = (project(store, label, tuple(sorted(shared))) for label in (a, b))
        store.unify(left.ids, right.ids)


def _inside(store: Store, a: Field, b: Field) -> None:
    """Units of ``a`` are members of those of ``b``; where one lies beside several, both are members of a block."""
    pairs = _pairs(a, b)
    if len(np.unique(pairs[0])) == pairs.shape[1]:
        store.block(a.ids, b.ids)
    else:
        _pair(store, b, project(store, a, b.dims))


def _pair(store: Store, a: Field, b: Field) -> None:
    """Units at the same entries: one neuron, or members of a block where one of them is copied for several others."""
    pairs = np.stack([ids.ravel() for ids in np.broadcast_arrays(a.ids, b.ids)])
    pairs = np.unique(pairs[:, (pairs >= 0).all(0)], axis=1)
    num, left, right = pairs.shape[1], len(np.unique(pairs[0])), len(np.unique(pairs[1]))
    if b.copied and num == left > right:
        store.block(a.ids, b.ids)
    elif a.copied and num == right > left:
        store.block(b.ids, a.ids)
    else:
        store.unify(a.ids, b.ids)


def project(store: Store, label: Field, dims: tuple[int, ...]) -> Field:
    """Blocks of the units that share an index along ``dims``; where these are the same units, it is one block."""
    shape = tuple(size if dim in dims else 1 for dim, size in enumerate(label.ids.shape))
    rows = _rows(label.ids, dims)
    ids = store.units(int(rows.max()) + 1)[rows].reshape(shape)
    store.block(label.ids, ids)
    return Field(ids, copied=len(np.unique(rows)) < len(rows))


def crossed(store: Store, labels: Sequence[Field]) -> Field:
    """Units of their own for entries that several labels together tell apart, as members of the units of each."""
    shape = np.broadcast_shapes(*(label.ids.shape for label in labels))
    ids = store.units(int(np.prod(shape))).reshape(shape)
    ids = np.where(np.any([np.broadcast_to(label.ids == ZERO, shape) for label in labels], axis=0), ZERO, ids)
    for label in labels:
        store.block(ids, label.ids)
    return Field(ids)


def total(store: Store, x: Value, dims: tuple[int, ...], *, absorb: frozenset[int] | None = None) -> Value:
    """The sum of ``x`` over ``dims``, which stay with size 1.

    Args:
        store: What is known.
        x: What is summed.
        dims: Over which axes.
        absorb: Axes of ``x`` that belong to a parameter among the factors. It can take a common factor of all
            summands that depends on no other axes, so that there is none to follow.
    """
    gone = set(dims)
    fields: list[Field] = []
    for label in x.fields:
        rest = tuple(dim for dim in label.dims if dim not in gone)
        if not gone & set(label.dims):
            if label.ids.size > 1 or label.home not in gone:
                fields.append(label)
        elif rest:
            fields.append(project(store, label, rest))
    shape = tuple(1 if dim in gone else size for dim, size in enumerate(x.shape))
    return replace(
        x, shape=shape, fields=tuple(_without_copies(fields)), terms=common(store, x, gone, fields, absorb=absorb)
    )


def _without_copies(fields: list[Field]) -> list[Field]:
    kept: list[Field] = []
    for label in sorted(fields, key=lambda label: -len(label.dims)):
        if not any(label.dims and _covers(other, label) for other in kept):
            kept.append(label)
    return kept


def common(
    store: Store, x: Value, gone: set[int], fields: list[Field], *, absorb: frozenset[int] | None
) -> tuple[Term, ...]:
    """Terms of a sum over axes ``gone``: all summands must have one factor."""

    def summed(term: Term) -> bool:
        if term.ids.size == 1:
            return absorb is not None and (term.home is None or term.home in gone)
        return any(term.ids.shape[dim] > 1 for dim in gone)

    inside = [] if x.zero else [term for term in x.terms if summed(term)]
    rest = tuple(term for term in x.terms if not summed(term))
    if not inside:
        return rest
    shape = np.broadcast_shapes(*(term.ids.shape for term in inside))
    shape = tuple(1 if dim in gone else size for dim, size in enumerate(shape))
    if absorb is not None and all(size == 1 or dim in absorb for dim, size in enumerate(shape)):
        store.relate(*(term.power for term in inside))
        return rest
    owner = next((label.ids for label in fields if label.ids.shape == shape and label.ids.size > 1), None)
    factor = Term(store.scales(np.full(shape, FIXED) if owner is None else owner))
    store.relate(*(term.power for term in inside), factor.inverse)
    return (*rest, factor)


def _even(store: Store, term: Term, gone: set[int], fields: list[Field]) -> list[Term]:
    """A term that may not depend on axes ``gone``: the one scale that is left for each index elsewhere."""
    shape = tuple(1 if dim in gone else size for dim, size in enumerate(term.ids.shape))
    if max(shape) == 1:
        store.pin(term.power)
        return []
    owners = next((label.ids for label in fields if label.ids.shape == shape), np.full(shape, FIXED))
    fresh = Term(store.scales(owners))
    store.relate(term.power, fresh.inverse)
    return [fresh]


def settle(store: Store, x: Value, dims: Iterable[int]) -> Value:
    """``x`` with nothing labelled along ``dims``: units are told apart there, and scales that depend on it are 1."""
    gone = set(dims)
    fields: list[Field] = []
    for label in x.fields:
        here = tuple(dim for dim in label.dims if dim in gone)
        rest = tuple(dim for dim in label.dims if dim not in gone)
        if label.ids.size == 1 and label.home in gone:
            continue
        if here:
            store.tell_apart_along(label.ids, here)
        if not here:
            fields.append(label)
        elif rest:
            fields.append(project(store, label, rest))
    terms: list[Term] = []
    for term in x.terms:
        if any(term.ids.shape[dim] > 1 for dim in gone) or (term.ids.size == 1 and term.home in gone):
            terms += _even(store, term, gone, fields)
        else:
            terms.append(term)
    return replace(x, fields=tuple(fields), terms=tuple(terms))
