"""Products summed over an axis: linear layers, convolutions, attention, einsum."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ._store import FIXED, Store
from ._value import (
    Field,
    Term,
    Value,
    add,
    drop,
    insert,
    meet_fields,
    multiply,
    permute,
    project,
    ranked,
    settle,
    total,
)


def contract(store: Store, values: Sequence[Value], inputs: Sequence[str], output: str) -> Value:
    """The einsum of ``values``, whose axes are named by ``inputs``, to the axes ``output``."""
    names = output + "".join(sorted(set("".join(inputs)) - set(output)))
    gone = tuple(names.index(name) for name in names if name not in output)
    aligned = []
    for value, letters in zip(values, inputs, strict=True):
        value = permute(value, tuple(sorted(range(len(letters)), key=lambda dim: names.index(letters[dim]))))
        aligned.append(insert(value, [dim for dim, name in enumerate(names) if name not in letters]))
    product = aligned[0]
    for value in aligned[1:]:
        _join(store, product, value, gone)
        product = multiply(store, product, value)
    param = next((v for v in aligned if v.param), None)
    absorb = None
    if param is not None:
        absorb = frozenset(dim for dim, name in enumerate(names) if name in inputs[aligned.index(param)])
    if product.zero:
        return Value(tuple(product.shape[dim] for dim in range(len(output))), zero=True)
    summed = total(store, product, gone, absorb=absorb)
    for value in aligned:
        _around(store, value, product, summed, gone)
    result = drop(summed, gone)
    return replace(result, param=False, origin="" if result.moved else product.origin)


def _join(store: Store, x: Value, y: Value, dims: tuple[int, ...]) -> None:
    """What is summed over is read by the layer: one neuron on both sides, or an input on one."""
    for one, other in ((x, y), (y, x)):
        for dim in dims:
            for label in one.fields:
                if not label.at(dim):
                    continue
                if one.param:
                    store.read.add(int(label.ids.flat[0]))
                if one.param and not any(other_label.at(dim) for other_label in other.fields) and not other.zero:
                    store.tell_apart_along(label.ids, (dim,))
                    store.inputs.setdefault(int(label.ids.flat[0]), other.origin)
                if one.param and all(near.ids.shape[dim] == 1 for near in other.fields):
                    for near in other.fields:
                        if near.at(dim):
                            store.unify(label.ids, near.ids)


def _around(store: Store, factor: Value, product: Value, summed: Value, gone: tuple[int, ...]) -> None:
    """Of a factor whose units others share, those that are summed together are a block around them (a group's keys)."""
    for label in factor.fields:
        rest = tuple(dim for dim in label.dims if dim not in gone)
        if rest and set(label.dims) & set(gone) and not any(label.ids is other.ids for other in product.fields):
            block = project(store, label, rest)
            for other in summed.fields:
                if set(rest) <= set(other.dims):
                    meet_fields(store, other, block)


def whole(store: Store, weight: Value) -> Value:
    """A weight matrix with scales also along axes of size 1, where a neuron may be all there is."""
    if not weight.param:
        return weight
    terms = list(weight.terms)
    for label in weight.fields:
        if label.ids.size == 1 and label.home in (0, 1) and not any(term.home == label.home for term in terms):
            terms.append(Term(store.scales(label.ids), home=label.home))
    return replace(weight, terms=tuple(terms))


def bilinear(store: Store, x: Value, weight: Value, *, x_dim: int, weight_dim: int, out_dim: int) -> Value:
    """``x`` with axis ``x_dim`` multiplied by a matrix; all other axes of ``weight`` but ``out_dim`` label nothing."""
    letters = [chr(ord("a") + dim) for dim in range(len(x.shape))]
    rest = [dim for dim in range(len(weight.shape)) if dim not in (weight_dim, out_dim)]
    weight = drop(settle(store, weight, rest), rest) if rest else weight
    names = {weight_dim: letters[x_dim], out_dim: "Z"}
    matrix = "".join(names[dim] for dim in sorted((weight_dim, out_dim)))
    output = "".join("Z" if dim == x_dim else letter for dim, letter in enumerate(letters))
    return contract(store, [x, weight], ["".join(letters), matrix], output)


def linear(store: Store, x: Value, weight: Value, bias: Value | None) -> Value:
    """``x W^T + b`` on the last axis."""
    if len(weight.shape) == 1:
        weight = insert(weight, [0])
    out = bilinear(store, x, weight, x_dim=len(x.shape) - 1, weight_dim=1, out_dim=0)
    return out if bias is None else plus_bias(store, out, bias, len(out.shape) - 1)


def plus_bias(store: Store, out: Value, bias: Value, dim: int) -> Value:
    """``out`` plus one number for each index of axis ``dim``."""
    bias = insert(bias, range(1, len(out.shape) - dim))
    return add(store, out, ranked(bias, len(out.shape)))


def convolution(
    store: Store, x: Value, weight: Value, bias: Value | None, *, groups: int, spatial: int, transposed: bool
) -> Value:
    """A convolution over the last ``spatial`` axes; what lies along them is of size 1 in the result."""
    batched = len(x.shape) == spatial + 2
    x = x if batched else insert(x, [0])
    around = tuple(range(2, 2 + spatial))
    x = settle(store, x, around)
    x, weight = drop(replace(x, shape=(*x.shape[:2], *[1] * spatial)), around), settle(store, weight, around)
    weight = drop(replace(weight, shape=(*weight.shape[:2], *[1] * spatial)), around)
    if groups == 1:
        names = ["nc", "cz"] if transposed else ["nc", "zc"]
        out = contract(store, [x, weight], names, "nz")
    else:
        out = _grouped(store, x, weight, groups, transposed=transposed)
    if bias is not None:
        out = plus_bias(store, out, bias, 1)
    out = insert(out, around)
    return out if batched else drop(out, [0])


def _grouped(store: Store, x: Value, weight: Value, groups: int, *, transposed: bool) -> Value:
    """Each group of neurons is read by its own part of the weight."""
    names = ["ngc", "gcz"] if transposed else ["ngc", "gzc"]
    out = contract(store, [split(x, 1, groups), split(weight, 0, groups)], names, "ngz")
    return renewed(store, merge(out, 1))


def renewed(store: Store, x: Value) -> Value:
    """``x`` with one scale instead of a product of several."""
    if len(x.terms) < 2:
        return x
    shape = np.broadcast_shapes(*(term.ids.shape for term in x.terms))
    owners = next((label.ids for label in x.fields if label.ids.shape == shape), np.full(shape, FIXED))
    fresh = Term(store.scales(owners))
    # The scale that follows from the others comes first: that of the parameter.
    store.relate(*(term.power for term in reversed(x.terms)), fresh.inverse)
    return replace(x, terms=(fresh,))


def split(value: Value, dim: int, first: int) -> Value:
    """``value`` with axis ``dim`` split into two, the first of size ``first``."""

    def parts(ids: np.ndarray) -> np.ndarray:
        size = ids.shape[dim]
        inner = (first, size // first) if size > 1 else (1, 1)
        ids = ids.reshape(*ids.shape[:dim], *inner, *ids.shape[dim + 1 :])
        for new in (dim, dim + 1):
            if (ids == ids.take([0], new)).all():
                ids = ids.take([0], new)
        return ids

    return _resized(
        value, parts, dim, (*value.shape[:dim], first, value.shape[dim] // first, *value.shape[dim + 1 :]), 1
    )


def merge(value: Value, dim: int) -> Value:
    """``value`` with axes ``dim`` and ``dim + 1`` made one."""

    def whole_axis(ids: np.ndarray) -> np.ndarray:
        here = ids.shape[dim : dim + 2]
        if max(here) > 1:
            sizes = tuple(value.shape[dim : dim + 2])
            ids = np.broadcast_to(ids, (*ids.shape[:dim], *sizes, *ids.shape[dim + 2 :]))
            here = sizes
        return ids.reshape(*ids.shape[:dim], here[0] * here[1], *ids.shape[dim + 2 :])

    size = value.shape[dim] * value.shape[dim + 1]
    return _resized(value, whole_axis, dim, (*value.shape[:dim], size, *value.shape[dim + 2 :]), -1)


def _resized(value: Value, change: object, dim: int, shape: tuple[int, ...], by: int) -> Value:
    assert callable(change), "a function of ids"

    def moved(label: Field | Term) -> int | None:
        return None if label.home is None or label.home == dim else label.home + by * (label.home > dim)

    return replace(
        value,
        shape=shape,
        fields=tuple(replace(label, ids=change(label.ids), home=moved(label)) for label in value.fields),
        terms=tuple(replace(term, ids=change(term.ids), home=moved(term)) for term in value.terms),
        even=frozenset(),
    )
