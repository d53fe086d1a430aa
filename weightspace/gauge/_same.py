"""Whether two parameter sets are the same network: the element between them, and what is left."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .._errors import SpecMismatch
from .._types import Params
from ..spec import Axis, SymmetrySpec
from ._act import act
from ._element import Element, compose, inverse
from .canonical import canonicalize

LIMIT = 1.5
"""Largest difference, in roundings, that still counts as the same network: 1, and what rounding does to scales."""

ARITHMETIC = 1e-14
"""Relative error of an entry after canonicalization in float64; more than float64 networks are rounded by."""


@final
@dataclass(frozen=True, eq=False)
class Sameness:
    """What a comparison of two networks found.

    Attributes:
        same: Whether one element maps the first network to the second, entry by entry, up to rounding.
        element: The best element found: ``act(element, a, spec)`` is nearest to ``b``.
        roundings: Largest difference of an entry, in units of what rounding the two networks to their number
            types explains there.
        distance: Norm of all differences relative to the norm of ``b``.
    """

    same: bool
    element: Element
    roundings: float
    distance: float

    def __str__(self) -> str:
        word = "same network" if self.same else "different networks"
        return f"{word}: largest difference {self.roundings:.3g} roundings, distance {self.distance:.3g}"


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor], spec: SymmetrySpec) -> Sameness:
    """Whether ``a`` and ``b`` are one network in two gauges, with the element that maps ``a`` to ``b``.

    Both are brought to canonical form; where rounding has exchanged neighbours in their order, neurons are
    assigned once more, space by space, until nothing changes. "Same" is certified by the element: every entry of
    the moved ``a`` agrees with ``b`` up to a few roundings. "Different" says that no such element was found;
    networks with dead neurons, or neurons that are exact copies, may have one that is missed.

    Args:
        a: Parameters of one network, of any floating-point types.
        b: Parameters of another one.
        spec: The symmetry of both.

    Raises:
        SpecMismatch: if a parameter does not fit the spec, several networks are stacked, or an entry is not finite.
    """
    first, second = _checked(a, spec, "first"), _checked(b, spec, "second")
    left, to_left, _ = canonicalize(first, spec, scale="balanced")
    right, to_right, _ = canonicalize(second, spec, scale="balanced")
    middle = _assigned(left, right, spec)
    element = compose(inverse(to_right), compose(middle, to_left))
    moved = act(element, first, spec)
    worst, square, size = 0.0, 0.0, 0.0
    allowed = act(_absolute(element), {name: _rounding(a[name]) for name in spec.axes}, spec)
    for name in spec.axes:
        gap = (moved[name] - second[name]).abs()
        room = allowed[name].abs() + _rounding(b[name]) + 1e-300
        worst = max(worst, float((gap / room).max()) if gap.numel() else 0.0)
        square, size = square + float(gap.square().sum()), size + float(second[name].square().sum())
    return Sameness(worst <= LIMIT, element, worst, (square / size) ** 0.5 if size else square**0.5)


def _checked(params: Mapping[str, Tensor], spec: SymmetrySpec, which: str) -> Params:
    if spec.check(params) is not None:
        raise SpecMismatch(f"the {which} argument stacks several networks. Compare them one by one.")
    for name, value in params.items():
        if not bool(value.isfinite().all()):
            raise SpecMismatch(f"parameter {name!r} of the {which} network has entries that are not finite.")
    return {name: params[name].to(torch.float64) for name in spec.axes}


def _rounding(value: Tensor) -> Tensor:
    """What one entry may be off by, after rounding to its type."""
    unit = max(torch.finfo(value.dtype).eps / 2, ARITHMETIC) if value.is_floating_point() else 0.0
    wide = value.to(torch.float64).abs()
    # Sums of squares behind the scales are rounded as well: a small part of the largest entry.
    return unit * (wide + 1e-3 * wide.max()) if value.numel() else wide


def _absolute(element: Element) -> Element:
    return Element(element.perm, {name: scale.abs() for name, scale in element.scale.items()})


def _assigned(left: Params, right: Params, spec: SymmetrySpec) -> Element:
    """The element near the identity that brings ``left`` to ``right``: order and signs, space by space."""
    perm = {space.name: torch.arange(space.size) for space in spec.free}
    scale = {space.name: torch.ones(space.size, dtype=torch.float64) for space in spec.free}
    element = Element(perm, scale)
    alone = [
        space
        for space in spec.free
        if not (space.like or space.within or space.ordered)
        and not any(space.name in (other.like, other.within, other.along) for other in spec.spaces)
    ]
    for _ in range(10):
        before = element
        for space in alone:
            moved = act(element, left, spec)
            here, there = _rows(moved, spec, space.name), _rows(right, spec, space.name)
            products = there @ here.T
            signed = space.scale in ("sign", "nonzero")
            gain = products.abs() if signed else products
            norms = there.square().sum(1)[:, None] + here.square().sum(1)[None]
            order = torch.as_tensor(linear_sum_assignment((norms - 2 * gain).numpy())[1])
            chosen = products[torch.arange(space.size), order]
            sign = torch.where(chosen < 0, -1.0, 1.0).double() if signed else torch.ones(space.size).double()
            step = Element(
                {**{k: torch.arange(len(v)) for k, v in perm.items()}, space.name: order},
                {**{k: torch.ones_like(v) for k, v in scale.items()}, space.name: sign},
            )
            element = compose(step, element)
        if all(
            torch.equal(before.perm[k], v) and torch.equal(before.scale[k], element.scale[k])
            for k, v in element.perm.items()
        ):
            break
    return element


def _rows(params: Params, spec: SymmetrySpec, name: str) -> Tensor:
    """All entries that carry a neuron of the space, one row for each neuron."""
    rows = neuron_rows(params, spec, name)
    return torch.cat(rows, 1) if rows else torch.zeros(spec.space[name].size, 1, dtype=torch.float64)


def neuron_rows(params: Mapping[str, Tensor], spec: SymmetrySpec, name: str) -> list[Float[Tensor, "n _k"]]:
    """By parameter axis that runs over the neurons of a space, in order: its entries, one row for each neuron."""
    rows, size = [], spec.space[name].size
    for key, axes in spec.params:
        for dim, axis in enumerate(axes):
            start = 0
            for part in axis.parts:
                stop = start + spec.length(part)
                if part.space is not None and spec.root(part.space) == name and _is_in_order(part):
                    entries = params[key].narrow(dim, start, stop - start).unflatten(dim, (size, part.repeat))
                    rows.append(entries.movedim(dim, 0).flatten(1).to(torch.float64))
                start = stop
    return rows


def _is_in_order(part: Axis) -> bool:
    return part.times == 1 and part.over is None and part.index is None
