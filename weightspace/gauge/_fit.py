"""Scales at which one network is nearest to another, entry by entry, in units of what rounding explains."""

from collections.abc import Callable

import torch
from torch import Tensor

from .._types import Params
from ..spec import SymmetrySpec
from ._act import act
from ._element import Element, compose, identity
from .canonical._sums import Sums
from .canonical._table import Tables, tables

STEPS, CG_STEPS = 8, 200

REST = 1e-6
"""What a step leaves of the error, in its norm."""

SMALL = 1e-8
"""Change of a log scale at which the fit has arrived: the next one would be its square."""


def fitted(
    element: Element, first: Params, second: Params, room: Callable[[Element], Params], spec: SymmetrySpec
) -> Element:
    """``element`` with sizes of scales by least squares (Gauss and Newton's method in their logarithms).

    Args:
        element: It maps ``first`` near ``second``.
        first: Parameters, float64.
        second: Parameters, float64.
        room: What rounding explains of each difference under an element.
        spec: Their symmetry.
    """
    offset = {name: sum(axis.parts[0].offset for axis in axes) for name, axes in spec.params}
    for _ in range(STEPS):
        moved, unit = act(element, first, spec), room(element)
        slope = {name: (moved[name] + offset[name]) / unit[name] for name in spec.axes}
        gap = {name: (second[name] - moved[name]) / unit[name] for name in spec.axes}
        curve = _table({name: slope[name] ** 2 for name in spec.axes}, offset, spec)
        pull = _table({name: slope[name] * gap[name] for name in spec.axes}, offset, spec).pull(float)[0]
        if not curve.tables:
            break
        step = _solved(curve, pull).unsqueeze(0).clamp(-1, 1)
        log = curve.split(step, spec)
        scale = {name: log[name][0].exp() if name in log else value for name, value in identity(spec).scale.items()}
        element = compose(Element(identity(spec).perm, scale), element)
        if float(step.abs().max()) < SMALL:
            break
    return element


def _table(values: Params, offset: dict[str, float], spec: SymmetrySpec) -> Tables:
    # Tables add the offsets of running variances, which are in already.
    return tables({name: (values[name] - offset[name]).unsqueeze(0) for name in values}, spec, "size", lambda v: v)


def _solved(curve: Tables, right: Tensor) -> Tensor:
    """What the normal equations say, by conjugate gradients; 0 where nothing is said."""
    here = Sums(curve, 1.0).at(right.new_zeros(1, len(right)))
    diagonal = here.pull(lambda power: float(power * power))[0]
    known = diagonal > 0
    unit = diagonal.where(known, 1.0).sqrt()

    def times(vector: Tensor) -> Tensor:
        bent = here.curved((vector / unit).unsqueeze(0))[0]
        # A little more: scales that undo each other everywhere leave it singular.
        return (bent / unit).where(known, 0.0) + 1e-10 * vector

    found, left = torch.zeros_like(right), (right / unit).where(known, 0.0)
    way, size = left, left @ left
    goal = REST**2 * size
    for _ in range(CG_STEPS):
        if not size > goal:
            break
        image = times(way)
        rate = size / (way @ image)
        found, left = found + rate * way, left - rate * image
        way, size = left + (left @ left / size) * way, left @ left
    return found / unit
