"""Normalization layers: what they read, and the scales of their own that they make."""

from dataclasses import replace

import numpy as np

from ._contract import split
from ._pointwise import unscaled
from ._store import Power, Store
from ._value import Term, Value, add, insert, meet, multiply, ranked, total


def batch_norm(store: Store, x: Value, gain: Value | None, shift: Value | None, mean: Value, var: Value) -> Value:
    """Batch normalization by running statistics.

    The mean moves with the features, the variance with their square, ``s^2 (v + eps) - eps``: exact for every
    eps. The variance also has a scale of its own, which the gain takes up. What leaves has the sign of what
    entered, and magnitudes of its own.
    """
    ndim = len(x.shape)
    mean, var = (insert(stat, [0, *range(2, ndim)]) for stat in (mean, var))
    add(store, x, mean)
    meet(store, x, var)
    squared = [Power(term.ids, 2 * term.size, 0) for term in x.terms]
    terms = [replace(term, size=0) for term in x.terms if term.sign]
    for term in var.terms:
        own = Term(store.scales(np.broadcast_to(var.fields[0].ids, term.ids.shape)), -1, 0, home=term.home)
        store.relate(Power(term.ids, -term.size, 0), Power(own.ids, 2, 0), *squared)
        store.pin(Power(own.ids, 1, 1), size=False)
        terms.append(own)
    store.pin(*(term.power for term in var.terms), size=False)
    x = replace(x, terms=tuple(terms), zero=False, param=False)
    return affine(store, x, gain, shift, tuple(range(ndim - 2)) if ndim > 2 else ())


def affine(store: Store, x: Value, gain: Value | None, shift: Value | None, behind: tuple[int, ...]) -> Value:
    """``gain x + shift`` along the axis before as many axes as ``behind`` has."""
    if gain is not None:
        x = scaled(store, x, insert(gain, range(len(gain.shape), len(gain.shape) + len(behind))))
    if shift is not None:
        shift = insert(shift, range(len(shift.shape), len(shift.shape) + len(behind)))
        x = add(store, x, ranked(shift, len(x.shape)))
    return x


def scaled(store: Store, x: Value, gain: Value) -> Value:
    """``x`` times a parameter, which makes up for the scale of ``x``: the product has one of its own."""
    gain = ranked(gain, len(x.shape))
    product = multiply(store, x, gain)
    if not x.terms or len(gain.terms) != 1:
        return product
    (own,) = gain.terms
    owners = next((f.ids for f in (*gain.fields, *x.fields) if f.ids.shape == own.ids.shape), None)
    fresh = Term(store.scales(np.full(own.ids.shape, -1) if owners is None else owners), home=own.home)
    # The scale of the parameter is the one that follows from the others.
    if any(set(_dims(term)) - set(_dims(own)) for term in x.terms):
        return product
    store.relate(own.power, *(term.power for term in x.terms), fresh.inverse)
    return replace(product, terms=(fresh,))


def _dims(term: Term) -> list[int]:
    return [dim for dim, size in enumerate(term.ids.shape) if size > 1]


def layer_norm(store: Store, x: Value, num: int, gain: Value | None, shift: Value | None) -> Value:
    """Layer or root-mean-square normalization over the last ``num`` axes; no scale but 1 passes."""
    x = normalized(store, x, tuple(range(len(x.shape) - num, len(x.shape))))
    return affine(store, x, gain, shift, ())


def normalized(store: Store, x: Value, dims: tuple[int, ...]) -> Value:
    """``x`` less its mean over ``dims``, divided by its deviation there."""
    x = unscaled(store, x)
    return replace(multiply(store, x, total(store, x, dims)), shape=x.shape, param=False)


def group_norm(store: Store, x: Value, groups: int, gain: Value | None, shift: Value | None) -> Value:
    """Group normalization of channels on axis 1."""
    ndim = len(x.shape)
    parts = split(x, 1, groups)
    normalized(store, parts, tuple(range(2, ndim + 1)))
    return affine(store, unscaled(store, x), gain, shift, tuple(range(ndim - 2)))


def instance_norm(store: Store, x: Value, gain: Value | None, shift: Value | None) -> Value:
    """Normalization of every channel by itself."""
    return affine(store, unscaled(store, x), gain, shift, tuple(range(len(x.shape) - 2)))
