"""Rules of operators that work along axes: sums, pooling, padding, concatenation, selection."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from .._values import Call, Refused, shape_of
from ._contract import merge, split
from ._move import MOVES, join, move
from ._pointwise import Passing, let_pass, unscaled
from ._registry import made, rule
from ._store import FIXED, ZERO
from ._value import Field, Term, Value, add, crossed, drop, insert, ranked, settle, total
from ._walk import Result, Walk
from ._writes import put, span


def _dims(call: Call, ndim: int) -> tuple[int, ...]:
    dims = call.args.get("dim")
    dims = [dims] if isinstance(dims, int) else list(dims or range(ndim))
    return tuple(sorted(dim % ndim for dim in dims))


_REDUCTIONS = {
    "sum": Passing(1, 1), "mean": Passing(1, 1), "nansum": Passing(1, 1), "amax": Passing(1, None),
    "amin": Passing(1, None), "max": Passing(1, None), "min": Passing(1, None), "median": Passing(1, None),
    "linalg_vector_norm": Passing(1, 0), "norm": Passing(1, 0), "std": Passing(1, 0), "var": Passing(2, 0),
    "logsumexp": Passing(None, None), "prod": Passing(None, None),
}  # fmt: skip


@rule(" ".join(_REDUCTIONS))
def reduce(walk: Walk, call: Call) -> Result:
    if call.overload in ("other", "correction_names", "dim_DimnameList"):
        raise Refused("it compares two tensors")
    x = walk.value(call.first)
    if not x.shape:
        return let_pass(walk.store, x, _REDUCTIONS[call.name])
    dims = _dims(call, len(x.shape))
    out = total(walk.store, let_pass(walk.store, x, _REDUCTIONS[call.name]), dims)
    out = replace(out, param=False)
    out = out if call.args.get("keepdim") else drop(out, dims)
    if isinstance(call.node.meta["val"], Tensor):
        return out
    return out, replace(out, index=True)


@rule("softmax log_softmax _softmax _log_softmax softmin")
def softmax(walk: Walk, call: Call) -> Result:
    return unscaled(walk.store, walk.value(call.first))


@rule("topk")
def topk(walk: Walk, call: Call) -> Result:
    """The neurons it chooses from stay in place: of a router they say which expert comes next."""
    x = walk.value(call.first)
    dim = int(-1 if call.args.get("dim") is None else call.args["dim"]) % len(x.shape)
    out = let_pass(walk.store, settle(walk.store, x, [dim]), Passing(1, None))
    shape = tuple(call.node.meta["val"][0].shape)
    return replace(out, shape=shape), replace(out, shape=shape, index=out.moved)


@rule("cumsum logcumsumexp cumprod sort argsort")
def along(walk: Walk, call: Call) -> Result:
    x = walk.value(call.first)
    dim = int(-1 if call.args.get("dim") is None else call.args["dim"]) % len(x.shape)
    if any(label.at(dim) for label in x.fields if label.ids.size > 1):
        raise Refused(f"it works along the neurons (axis {dim}), which then differ by their places")
    passed = {"cumsum": Passing(1, 1), "sort": Passing(1, None)}
    out = let_pass(walk.store, x, passed.get(call.name, Passing(None, None)))
    if isinstance(call.node.meta["val"], Tensor):
        return replace(out, shape=shape_of(call.node))
    return out, replace(out, index=True)


def _spatial(names: str, spatial: int, *, largest: bool = False) -> None:
    @rule(names)
    def pool(walk: Walk, call: Call) -> Result:
        x = walk.value(call.first)
        dims = range(len(x.shape) - spatial, len(x.shape))
        if x.param:  # a table of numbers for places, such as a bias by relative position
            x = settle(walk.store, x, dims)
        for label in (*x.fields, *x.terms):
            for dim in dims:
                if label.ids.shape[dim] > 1:
                    raise Refused(f"it mixes the neurons on axis {dim}")
        out = let_pass(walk.store, x, Passing(1, None)) if largest else x
        val = call.node.meta["val"]
        out = replace(out, shape=tuple((val if isinstance(val, Tensor) else val[0]).shape), param=False)
        return out if isinstance(val, Tensor) else (out, replace(out, index=True))


for _n in (1, 2, 3):
    _spatial(f"avg_pool{_n}d adaptive_avg_pool{_n}d upsample_nearest{_n}d _upsample_nearest_exact{_n}d", _n)
    _spatial(f"reflection_pad{_n}d replication_pad{_n}d", _n)
    _spatial(f"max_pool{_n}d max_pool{_n}d_with_indices adaptive_max_pool{_n}d", _n, largest=True)
_spatial("upsample_linear1d", 1)
_spatial("upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa", 2)
_spatial("upsample_trilinear3d", 3)


@rule("im2col")
def unfold(walk: Walk, call: Call) -> Result:
    """Patches: the entries of a channel's window follow each other on one axis."""
    x = walk.value(call.args["self"])
    shape, ndim = shape_of(call.node), len(x.shape)
    window = int(np.prod(call.args["kernel_size"]))
    channels = drop(settle(walk.store, x, (ndim - 2, ndim - 1)), (ndim - 2, ndim - 1))
    channels = insert(channels, (ndim - 2, ndim - 1))
    out = merge(replace(channels, shape=(*x.shape[: ndim - 2], window, 1)), ndim - 3)
    inside = np.tile(np.arange(window), x.shape[ndim - 3])[:, None]
    fields = [
        replace(label, places=np.ascontiguousarray(np.broadcast_to(inside, label.ids.shape)))
        if label.ids.shape[ndim - 3] > 1
        else label
        for label in out.fields
    ]
    return replace(out, fields=tuple(fields), shape=shape, param=False)


@rule("col2im")
def fold(walk: Walk, call: Call) -> Result:
    """Patches back to where they came from: the entries of a window are one channel's, and are added up."""
    x = walk.value(call.args["self"])
    axis = len(x.shape) - 2
    parts = split(x, axis, x.shape[axis] // int(np.prod(call.args["kernel_size"])))
    channels = drop(settle(walk.store, parts, (axis + 1, axis + 2)), (axis + 1, axis + 2))
    return replace(insert(channels, (axis + 1, axis + 2)), shape=shape_of(call.node), param=False)


@rule("pad constant_pad_nd")
def pad(walk: Walk, call: Call) -> Result:
    x = walk.value(call.first)
    sizes, ndim = call.args["pad"], len(x.shape)
    value = call.args.get("value") or 0
    if call.args.get("mode", "constant") != "constant":
        value = 0
        if any(
            x_label.ids.shape[ndim - 1 - k // 2] > 1
            for x_label in (*x.fields, *x.terms)
            for k, size in enumerate(sizes)
            if size
        ):
            raise Refused("it pads the neurons with copies of others")
    if value:
        walk.store.relate(*(term.power for term in x.terms))
    widths = [(0, 0)] * ndim
    for k in range(0, len(sizes), 2):
        widths[ndim - 1 - k // 2] = (sizes[k], sizes[k + 1])

    def padded(label: Field | Term) -> np.ndarray:
        ids = label.ids
        here = [width if ids.shape[dim] > 1 else (0, 0) for dim, width in enumerate(widths)]
        for dim, (before, after) in enumerate(here):
            ids = ids.take(range(max(0, -before), ids.shape[dim] - max(0, -after)), dim)  # negative padding cuts
        wide = [(max(0, before), max(0, after)) for before, after in here]
        return np.pad(ids, wide, constant_values=FIXED if value else ZERO)

    return replace(
        x,
        shape=shape_of(call.node),
        fields=tuple(replace(label, ids=padded(label)) for label in x.fields),
        terms=tuple(replace(term, ids=padded(term)) for term in x.terms),
        param=False,
    )


@rule("cat concat concatenate hstack vstack stack")
def cat(walk: Walk, call: Call) -> Result:
    tensors = call.first
    assert isinstance(tensors, (list, tuple)), "concatenation takes a list"
    values = [walk.value(node) for node in tensors]
    shape = shape_of(call.node)
    if call.name == "stack":
        dim = call.args.get("dim", 0) % len(shape)
        values = [insert(value, [dim]) for value in values]
    else:
        fixed = {"hstack": min(1, len(shape) - 1), "vstack": 0}
        dim = int(fixed[call.name] if call.name in fixed else call.args.get("dim", 0)) % len(shape)
    return join(walk.store, values, dim, shape)


@rule("index_select")
def index_select(walk: Walk, call: Call) -> Result:
    x = walk.value(call.args["self"])
    dim = call.args["dim"] % len(x.shape)
    return replace(settle(walk.store, x, [dim]), shape=shape_of(call.node), param=False)


@rule("index")
def index(walk: Walk, call: Call) -> Result:
    x, places = walk.value(call.args["self"]), call.args["indices"]
    used = [dim for dim, place in enumerate(places) if place is not None]
    marks = [places[dim] for dim in used]
    if any(walk.value(mark).moved for mark in marks):
        raise Refused("it reads entries at positions that hidden values say")
    if any(mark.meta["val"].dtype == torch.bool for mark in marks):
        raise Refused("it reads entries where a mask says so")
    out = drop(settle(walk.store, x, used), used)
    # Positions on neighbouring axes stand in their place, others come first.
    first = used[0] if used[-1] - used[0] < len(used) else 0
    out = insert(out, range(first, first + len(np.broadcast_shapes(*map(shape_of, marks)))))
    return replace(out, shape=shape_of(call.node), param=False)


@rule("index_put")
def index_put(walk: Walk, call: Call) -> Result:
    """What is written has the labels of what it replaces, on the axes without positions."""
    x, value, places = walk.value(call.args["self"]), walk.value(call.args["values"]), call.args["indices"]
    used = [dim for dim, place in enumerate(places) if place is not None]
    marks = [places[dim] for dim in used]
    first, last = used[0], used[-1] + 1
    if any(walk.value(mark).moved or mark.meta["val"].dtype == torch.bool for mark in marks) or last - first > len(
        used
    ):
        raise Refused("it writes to entries where hidden values or a mask say so")
    apart = len(np.broadcast_shapes(*map(shape_of, marks)))
    value = ranked(value, len(x.shape) - len(used) + apart)
    here = range(first, first + apart)
    value = insert(drop(settle(walk.store, value, here), here), range(first, last))
    return replace(add(walk.store, settle(walk.store, x, used), value), shape=x.shape, param=False)


@rule("gather take_along_dim")
def gather(walk: Walk, call: Call) -> Result:
    x, mark = walk.value(call.args["self"]), call.args.get("index", call.args.get("indices"))
    if call.args.get("dim") is None or not isinstance(mark, Node) or walk.value(mark).moved:
        raise Refused("it reads entries at positions that hidden values say")
    # Where the positions are the same along an axis (expanded), its neurons are read alike.
    dim, steps = call.args["dim"] % len(x.shape), mark.meta["val"].stride()
    differ = [d for d, size in enumerate(shape_of(mark)) if size > 1 and steps[d]]
    return replace(settle(walk.store, x, {dim, *differ}), shape=shape_of(call.node), param=False)


@rule("embedding")
def embedding(walk: Walk, call: Call) -> Result:
    table = walk.value(call.args["weight"])
    made(walk, table, 1)
    row = drop(replace(settle(walk.store, table, [0]), shape=(1, *table.shape[1:])), [0])
    places = shape_of(call.args["indices"])
    return replace(insert(row, range(len(places))), shape=shape_of(call.node), param=False)


@rule("zeros zeros_like new_zeros zero")
def zeros(walk: Walk, call: Call) -> Result:
    del walk
    return Value(shape_of(call.node), zero=True)


@rule("empty empty_like new_empty")
def empty(walk: Walk, call: Call) -> Result:
    """Memory that is written before it is read, so that what it holds first does not matter."""
    return zeros(walk, call)


@rule("copy fill")
def copy(walk: Walk, call: Call) -> Result:
    """The second operand in the shape of the first."""
    value = walk.value(call.args["src"] if call.name == "copy" else call.args["value"])
    return replace(ranked(value, len(shape_of(call.node))), shape=shape_of(call.node), param=False)


@rule("select_scatter slice_scatter")
def scatter(walk: Walk, call: Call) -> Result:
    whole, part = walk.value(call.args["self"]), walk.value(call.args["src"])
    dim = call.args["dim"] % len(whole.shape)
    part = insert(part, [dim]) if call.name == "select_scatter" else part
    return put(walk.store, whole, dim, *span(call, whole.shape[dim]), part)


@rule(" ".join(MOVES), entrywise=True)
def moves(walk: Walk, call: Call) -> Result:
    x = walk.value(call.first)
    out = move(call, x)
    if any(_merged(x, part) for part in (out if isinstance(out, tuple) else (out,))):
        out = move(call, replace(x, fields=(crossed(walk.store, x.fields),)))
    return out


def _merged(x: Value, moved: Value) -> bool:
    """Whether labels of different axes are on one axis now, or one is repeated along an axis of another."""
    return any(
        set(moved.fields[a].dims) & set(moved.fields[b].dims)
        and (not set(x.fields[a].dims) & set(x.fields[b].dims) or _spread(x, moved, a, b) or _spread(x, moved, b, a))
        for a, b in combinations(range(len(x.fields)), 2)
    )


def _spread(x: Value, moved: Value, a: int, b: int) -> bool:
    """Whether label ``b`` is repeated, neither of the two being finer than the other."""
    mine, theirs = set(x.fields[a].dims), set(x.fields[b].dims)
    return moved.fields[b].ids.size > x.fields[b].ids.size and not (mine <= theirs or theirs <= mine)
