"""Operators that move entries about: the labels of the entries are moved by the operator itself."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from .._values import Call, Refused, shape_of
from ._store import FIXED, ZERO, Ids, Store
from ._value import Field, Term, Value, meet

_MOVES = """
alias broadcast_to channel_shuffle chunk clone contiguous detach expand expand_as flatten flip lift_fresh_copy mT
movedim moveaxis narrow native_channel_shuffle numpy_T permute pixel_shuffle pixel_unshuffle ravel repeat
repeat_interleave reshape reshape_as roll rot90 select slice split split_with_sizes squeeze swapaxes swapdims
t tensor_split tile to _to_copy transpose type_as unbind unflatten unfold unsqueeze unsafe_chunk unsafe_split
view view_as _unsafe_view unsafe_split_with_sizes atleast_1d atleast_2d hsplit vsplit adjoint narrow_copy
view_copy
"""
MOVES = frozenset(_MOVES.split())
"""Operators that only say where each entry of their first operand goes."""

SAME = frozenset(["alias", "clone", "contiguous", "detach", "lift_fresh_copy", "to", "_to_copy", "type_as"])
"""Those whose result holds the same entries at the same places."""

_SPREADS = frozenset(["broadcast_to", "expand", "expand_as", "repeat", "tile", "repeat_interleave"])
_LIKE = {"view_as": "reshape", "reshape_as": "reshape", "expand_as": "expand"}


def move(call: Call, x: Value) -> Value | tuple[Value, ...]:
    """The result of a moving operator."""
    result = call.node.meta["val"]
    if call.overload == "dtype" and call.name == "view":
        raise Refused("it reinterprets the bits of the numbers")
    if call.name in SAME:
        if not result.is_floating_point():
            raise Refused("its result is not of a floating-point type")
        return replace(x, shape=tuple(result.shape))
    shapes = [tuple(part.shape) for part in ([result] if isinstance(result, Tensor) else result)]
    run = _runner(call)
    labels = [(label, _run(run, label.ids, x.shape)) for label in (*x.fields, *x.terms)]
    homes = _homes(run, x, shapes[0]) if len(shapes) == 1 else {}
    even = _even(run, x, shapes) if x.even or call.name in _SPREADS else [frozenset[int]()] * len(shapes)
    values = []
    for index, shape in enumerate(shapes):
        if 0 in shape:
            values.append(Value(shape, zero=True))
            continue
        fields: list[Field] = []
        terms: list[Term] = []
        for label, parts in labels:
            ids = compressed(parts[index])
            home = (homes.get(label.home) if label.home is not None else None) if label.ids.size == 1 else None
            if isinstance(label, Field):
                more = ids.size > label.ids.size
                again = label.copied or (more and (_copies(call) or _repeats(run, x, label, ids, index)))
                places = None
                if more or (label.places is not None and label.places.shape == label.ids.shape):
                    places = _places(run, x, label, ids, index)
                fields.append(replace(label, ids=ids, home=home, copied=again, places=places))
            else:
                terms.append(replace(label, ids=ids, home=home))
        values.append(Value(shape, tuple(fields), tuple(terms), x.origin, x.param, x.zero, even=even[index]))
    return values[0] if isinstance(result, Tensor) else tuple(values)


def _even(run: Callable[[Tensor], object], x: Value, shapes: Sequence[tuple[int, ...]]) -> list[frozenset[int]]:
    """Axes of each result that do not depend on where along its axes an entry of ``x`` lies."""
    left = [set(range(len(shape))) for shape in shapes]
    for dim, size in enumerate(x.shape):
        if size > 1 and dim not in x.even:
            numbers = np.arange(size).reshape([size if axis == dim else 1 for axis in range(len(x.shape))])
            for axes, part in zip(left, _run(run, numbers, x.shape), strict=True):
                sizes = compressed(part).shape
                axes -= {axis for axis in axes if sizes[axis] > 1}
    return [frozenset(axes) for axes in left]


def _repeats(run: Callable[[Tensor], object], x: Value, label: Field, ids: Ids, index: int) -> bool:
    """Whether all entries of a unit come from one, along axes on which all entries are one number."""
    if not x.even:
        return False
    shape = tuple(1 if dim in label.dims or dim in x.even else size for dim, size in enumerate(x.shape))
    moved = _run(run, np.arange(int(np.prod(shape))).reshape(shape), x.shape)[index]
    for dim, size in enumerate(ids.shape):
        moved = moved.narrow(dim, 0, 1) if size == 1 else moved
    pairs = np.stack([ids.ravel(), moved.numpy().ravel()])
    return len(np.unique(pairs, axis=1).T) == len(np.unique(ids))


def _places(run: Callable[[Tensor], object], x: Value, label: Field, ids: Ids, index: int) -> Ids | None:
    """Which entry of its unit each entry is, as far as axis labels must agree on it.

    Raises:
        Refused: if the entries of two units come in different orders, so that the units cannot change places.
    """
    shape = tuple(1 if dim in label.dims else size for dim, size in enumerate(x.shape))
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    if label.places is not None and label.places.shape == label.ids.shape:
        numbers = label.places * numbers.size + numbers
    moved = _run(run, numbers, x.shape)[index]
    for dim, size in enumerate(ids.shape):
        if size == 1:
            moved = moved.narrow(dim, 0, 1)
    places = moved.numpy().reshape(ids.shape)
    flat, mine = places.ravel(), ids.ravel()
    order = np.argsort(mine, kind="stable")
    order = order[mine[order] >= 0]
    counts = np.unique(mine[order], return_counts=True)[1]
    if len(counts) == 0 or (counts == 1).all():
        return None
    if (counts == counts[0]).all() and (flat[order].reshape(len(counts), -1) != flat[order[: counts[0]]]).any():
        raise Refused("it brings the entries of different neurons into different orders")
    return np.ascontiguousarray(places)


def _copies(call: Call) -> bool:
    """Whether entries of one unit are copies of one number: repeated, or reshaped after an expansion."""
    if call.name in ("repeat_interleave", "repeat", "tile"):
        return True
    node = call.first
    while isinstance(node, Node) and node.op == "call_function" and Call.of(node).name in SAME:
        node = Call.of(node).first
    return (
        isinstance(node, Node)
        and node.op == "call_function"
        and Call.of(node).name in ("broadcast_to", "expand", "expand_as")
    )


def _runner(call: Call) -> Callable[[Tensor], object]:
    target = call.node.target
    args, kwargs = call.node.args[1:], call.node.kwargs
    if any(isinstance(arg, Node) and isinstance(arg.meta.get("val"), Tensor) for arg in args):
        if call.name not in _LIKE:
            raise Refused("it reads positions from a tensor")
        return lambda ids: getattr(ids, _LIKE[call.name])(shape_of(args[0]))
    args = map_arg(args, lambda node: node.meta["val"])
    if call.name in ("view", "_unsafe_view", "view_copy"):
        return lambda ids: ids.reshape(tuple(shape_of(call.node)))  # labels may have to be copied where data need not
    assert callable(target), "only operators are called"
    return lambda ids: target(ids, *args, **kwargs)


def _run(run: Callable[[Tensor], object], ids: Ids, shape: tuple[int, ...]) -> list[Tensor]:
    try:
        result = run(torch.from_numpy(np.array(ids, order="C")).expand(shape))
    except (RuntimeError, NotImplementedError, TypeError) as error:
        raise Refused(f"its rule fails on labels: {str(error).splitlines()[0][:100]}") from error
    return [result] if isinstance(result, Tensor) else list(result)  # type: ignore[arg-type]


def _homes(run: Callable[[Tensor], object], x: Value, shape: tuple[int, ...]) -> dict[int, int | None]:
    """Where the axes of ``x`` are in the result, for axes of size 1; strides that number the axes show it."""
    homes: dict[int, int | None] = {}
    if not any(label.ids.size == 1 and label.home is not None for label in (*x.fields, *x.terms)):
        return homes
    try:
        probe = torch.empty_strided(x.shape, tuple(range(1, len(x.shape) + 1)), device="meta")
        moved = run(probe)
    except (RuntimeError, NotImplementedError):
        return homes
    if not isinstance(moved, Tensor) or tuple(moved.shape) != shape:
        return homes
    strides = list(moved.stride())
    for dim in range(len(x.shape)):
        homes[dim] = strides.index(dim + 1) if strides.count(dim + 1) == 1 else None
    return homes


def compressed(ids: Tensor) -> Ids:
    """``ids`` of size 1 along the axes on which they do not depend."""
    for dim, size in enumerate(ids.shape):
        first = ids.narrow(dim, 0, 1)
        if size > 1 and (ids.stride(dim) == 0 or bool((ids == first).all())):
            ids = first
    return np.ascontiguousarray(ids.numpy())


def join(store: Store, values: Sequence[Value], dim: int, shape: tuple[int, ...]) -> Value:
    """Values one after the other along axis ``dim``."""
    # What is empty joins anything, whatever its number of axes.
    values = [value for value in values if 0 not in value.shape]
    fields: list[Field] = []
    along = [next((f for f in value.fields if f.at(dim)), None) for value in values]
    if any(label is not None for label in along):
        pieces = []
        for value, label in zip(values, along, strict=True):
            none = np.full([1] * len(shape), ZERO if value.zero else FIXED)
            pieces.append(none if label is None else label.ids)
        fields.append(Field(_concatenated(pieces, values, dim)))
    # The other axes: the same neurons in all pieces.
    first = next((value for value in values if not value.zero), values[0])
    shared = _without(first, dim)
    for value in values:
        if value is not first and not value.zero:
            meet(store, shared, _without(value, dim))
            shared = replace(shared, fields=tuple(_filled(label, value) for label in shared.fields))
    fields += shared.fields
    terms = _joined_terms(values, dim)
    params = all(value.param for value in values)
    origins = {value.origin for value in values}
    return Value(shape, tuple(fields), terms, origins.pop() if len(origins) == 1 else "", params, first.zero)


def _without(value: Value, dim: int) -> Value:
    """A piece without its labels along ``dim``, on which pieces have sizes of their own."""
    shape = (*value.shape[:dim], 1, *value.shape[dim + 1 :])
    return replace(value, shape=shape, fields=tuple(label for label in value.fields if not label.at(dim)))


def _filled(label: Field, other: Value) -> Field:
    """A field that says of entries which are zero in one piece what another one holds there."""
    ids = label.ids
    for field in other.fields:
        if field.dims == label.dims and (ids == ZERO).any():
            ids = np.where(ids == ZERO, field.ids, ids)
    return replace(label, ids=ids)


def _concatenated(pieces: Sequence[Ids], values: Sequence[Value], dim: int) -> Ids:
    full = [np.broadcast_shapes(*((*ids.shape[:dim], 1, *ids.shape[dim + 1 :]) for ids in pieces))] * len(pieces)
    sized = [
        np.broadcast_to(ids, (*shape[:dim], value.shape[dim], *shape[dim + 1 :]))
        for ids, shape, value in zip(pieces, full, values, strict=True)
    ]
    return np.concatenate(sized, dim)


def _joined_terms(values: Sequence[Value], dim: int) -> tuple[Term, ...]:
    """Terms of the pieces side by side; a factor of the whole must be that of every piece."""
    alive = [value for value in values if not value.zero]
    if len(alive) == 1 and len(values) > 1 and not any(t.ids.shape[dim] > 1 or t.at(dim) for t in alive[0].terms):
        return alive[0].terms
    shared = [[t for t in value.terms if not t.at(dim) and t.ids.size > 1] for value in alive]
    written = [[(t.ids.tolist(), t.size, t.sign) for t in terms] for terms in shared]
    same = all(one == written[0] for one in written)
    kept: tuple[Term, ...] = tuple(shared[0]) if same and shared else ()
    rows: dict[tuple[int, int, int], list[Ids]] = {}
    ndim = len(values[0].shape)
    for index, value in enumerate(values):
        if value.zero:
            for row in rows.values():
                row[index] = np.full([1] * ndim, ZERO)
            continue
        counts: dict[tuple[int, int], int] = {}
        for term in value.terms:
            if kept and any(term is t for t in shared[alive.index(value)]):
                continue
            key = (term.size, term.sign)
            counts[key] = counts.get(key, 0) + 1
            row = rows.setdefault((*key, counts[key]), [np.full([1] * ndim, ZERO if v.zero else FIXED) for v in values])
            row[index] = term.ids
    joined = tuple(Term(_concatenated(pieces, values, dim), size, sign) for (size, sign, _), pieces in rows.items())
    return kept + joined
