"""Functions of one number: what they do to a scale, found by trying them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import final

import numpy as np
import torch
from torch import Tensor

from ..._errors import SpecError
from .._spec import ScaleName
from ._store import FIXED, ZERO, Ids, Power, Store
from ._value import Term, Value, relabel

_DEGREES = (1, 0, -1, 2, 3, 4, -2)
_SIZES = 10.0 ** torch.linspace(-3, 3, 241, dtype=torch.float64)


@final
@dataclass(frozen=True)
class Passing:
    """What is left of a scale behind a function: ``f(s z) = |s|^size sign(s)^sign f(z)``.

    Attributes:
        size: Power of the magnitude; ``None`` if no magnitude but 1 passes.
        sign: Power of the sign, 0 or 1; ``None`` if the sign must not change.
        zero: Whether zero stays zero.
    """

    size: int | None
    sign: int | None
    zero: bool = True


def passing(function: Callable[[Tensor], Tensor]) -> Passing:
    """What of a scale an element-wise function lets pass, by trying it on numbers of both signs from 1e-3 to 1e3."""
    points = torch.cat([-_SIZES.flip(0), torch.zeros(1, dtype=torch.float64), _SIZES])
    plain = _call(function, points)
    if plain is None or plain.shape != points.shape:
        return Passing(None, None, zero=False)
    size = next((degree for degree in _DEGREES if _is_homogeneous(function, points, plain, degree)), None)
    mirrored = _call(function, -points)
    assert mirrored is not None, "it was called before"
    sign = next((power for power in (1, 0) if _close(mirrored, plain * (-1) ** power)), None)
    return Passing(size, sign, zero=bool(plain[len(_SIZES)] == 0))


def scale_group(function: Callable[[Tensor], Tensor]) -> ScaleName:
    """The scale group that an activation lets pass, by trying it: ``act(s z) = s act(z)`` for every ``s`` in it.

    Args:
        function: Maps a tensor to one of the same shape, entry by entry. Called on float64 numbers of both signs
            from 1e-3 to 1e3 and on zero, so an activation that changes its form only outside is taken for another.

    Raises:
        SpecError: if the result has another shape, is not made of numbers, or the call fails.

    Source: Kalogeropoulos et al. 2024, arXiv:2406.10685, Prop. 4.1.
    """
    points = torch.linspace(-1, 1, 5, dtype=torch.float64)
    found = _call(function, points)
    if found is None or found.shape != points.shape:
        raise SpecError(
            f"{function!r} does not map a float64 tensor to one of its shape, so it is no activation. "
            "Type: ws.spec.scale_group(torch.relu)."
        )
    what = passing(function)
    if what.size == 1:
        return "nonzero" if what.sign == 1 else "positive"
    return "sign" if what.sign == 1 else "trivial"


def _is_homogeneous(function: Callable[[Tensor], Tensor], points: Tensor, plain: Tensor, degree: int) -> bool:
    for factor in (1 / 64, 0.3, 3.7, 64.0):
        scaled = _call(function, factor * points)
        if scaled is None or not _close(scaled, factor**degree * plain):
            return False
    return True


def _call(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor | None:
    try:
        with torch.no_grad():
            return function(points.clone()).to(torch.float64)
    except (RuntimeError, TypeError, NotImplementedError):
        return None


def _close(a: Tensor, b: Tensor) -> bool:
    return bool(torch.isclose(a, b, rtol=1e-9, atol=0.0, equal_nan=True).all())


@lru_cache(maxsize=4096)
def _passing_of(target: Callable[..., Tensor], before: tuple, after: tuple, kwargs: tuple) -> Passing:
    return passing(lambda points: target(*before, points, *after, **dict(kwargs)))


def apply(
    store: Store,
    x: Value,
    target: Callable[..., Tensor],
    before: tuple[object, ...],
    after: tuple[object, ...],
    kwargs: dict[str, object],
) -> Value:
    """``x`` behind an element-wise function with other arguments before and after it."""
    frozen = [tuple(tuple(arg) if isinstance(arg, list) else arg for arg in args) for args in (before, after)]
    return let_pass(store, x, _passing_of(target, *frozen, tuple(sorted(kwargs.items()))))


def let_pass(store: Store, x: Value, what: Passing) -> Value:
    """``x`` behind a function that lets ``what`` pass of its scale."""
    if what == Passing(1, 1):
        return replace(x, param=False)
    if not what.zero:
        x = _filled(x)
    # The sign of a product passes as a whole, and so does its magnitude.
    if what.size is None:
        store.relate(*(Power(term.ids, term.size, 0) for term in x.terms))
    if what.sign is None:
        store.relate(*(Power(term.ids, 0, term.sign) for term in x.terms))
    terms: list[Term] = []
    for term in x.terms:
        # What is 1 in all is kept, so that writing in place leaves the labels of other names as they are.
        size = term.size if what.size is None else term.size * what.size
        sign = term.sign if what.sign is None else term.sign * what.sign
        if what.size is what.sign is None:
            continue
        if size or sign:
            terms.append(replace(term, size=size, sign=sign))
    return replace(x, terms=tuple(terms), param=False)


def unscaled(store: Store, x: Value) -> Value:
    """``x`` behind a function that lets no scale pass."""
    return let_pass(store, x, Passing(None, None, zero=False))


def _filled(x: Value) -> Value:
    """``x`` where entries that were zero are some other number."""

    def fill(ids: Ids) -> Ids:
        return np.where(ids == ZERO, FIXED, ids)

    return relabel(replace(x, zero=False), fill, lambda home: home)
