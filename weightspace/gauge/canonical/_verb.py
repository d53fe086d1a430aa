"""Canonical forms: one network from each orbit, and the element that leads there."""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from ..._errors import ConfigError
from ..._types import Params
from ...spec import SymmetrySpec
from .._act import act
from .._element import Element, compose
from ._balance import balanced_scales
from ._layers import norm_scales, signs
from ._report import Report
from ._sort import sorted_neurons
from ._table import tables

ScaleForm = Literal["norm", "balanced", "l1"]
"""Where positive scales are taken from, see :func:`canonicalize`."""


def canonicalize(
    params: Mapping[str, Tensor], spec: SymmetrySpec, *, scale: str = "norm", permute: bool = True
) -> tuple[Params, Element, Report]:
    """The canonical network of the orbit, the element that leads there, and what is left open.

    The network returned computes the same function and is ``act(element, params, spec)``, to the bit. Networks of one
    orbit have the same canonical form up to rounding, unless the report says otherwise. Running statistics that the
    spec scales count as fan-in.

    * Positive scales: ``"norm"`` gives every fan-in norm 1, layer by layer from the inputs on; ``"balanced"`` is the
      member of the orbit with the smallest total squared norm, ``"l1"`` the one with the smallest sum of magnitudes.
      Each is unique and depends smoothly on the weights, but for dead neurons, whose scale is left alone. A scale that
      nothing divides by again (features before a batch normalization) has no smallest value and is settled with the
      running statistics, whose logarithm is taken from the sum.
    * Signs: the cubes of a neuron's fan-in sum to more than 0. No choice of signs is continuous: a fan-in that passes
      through sums of 0 jumps, and there the sign is a tie. Layer by layer, so a tie leaves later signs open as well.
    * Permutations: neurons are sorted by a number made of their weights; blocks (heads) by what they hold, then inside.
      No choice of order is continuous: neurons that pass each other change places. Equal neurons are reported as ties.

    Args:
        params: One network or stacked networks.
        spec: Their symmetry.
        scale: The form of positive scales, one of :data:`ScaleForm`.
        permute: Sort the neurons; otherwise they stay where they are.

    Raises:
        SpecMismatch: if the parameters do not fit the spec, or are not finite real numbers.
        ConfigError: if ``scale`` is none of the three.
    """
    if scale not in get_args(ScaleForm):
        raise ConfigError(f"scale is {scale!r}; it is one of {', '.join(get_args(ScaleForm))}. Type scale='norm'.")
    single = spec.check_values(params) is None
    stacked = {name: value.detach().unsqueeze(0) if single else value.detach() for name, value in params.items()}
    # Anything narrower overflows or rounds away in squares and cubes; the element is float64 in any case.
    exact = {name: stacked[name].cpu().double() for name in spec.axes}
    element, report = _decide(exact, spec, scale, permute, _precision(stacked, spec))
    if single:
        element = element[0]
        kinds = (report.dead, report.sign_ties, report.order_ties)
        report = Report(*({name: value[0] for name, value in kind.items()} for kind in kinds))
    return act(element, params, spec), element, report


def _precision(params: Mapping[str, Tensor], spec: SymmetrySpec) -> float:
    """The coarsest rounding among the parameters that the gauge acts on."""
    acted = (name for name, axes in spec.params if any(part.space for axis in axes for part in axis.parts))
    types = {params[name].dtype for name in acted}
    return max((torch.finfo(kind).eps for kind in types if kind.is_floating_point), default=1e-16)


def _decide(params: Params, spec: SymmetrySpec, scale: str, permute: bool, eps: float) -> tuple[Element, Report]:
    num = next(iter(params.values())).shape[0]
    none = {space.name: torch.zeros((num, space.size), dtype=torch.bool) for space in spec.free}
    factor = {space.name: torch.ones((num, space.size), dtype=torch.float64) for space in spec.free}
    perm = {space.name: torch.arange(space.size).expand(num, -1) for space in spec.free}
    dead, unsigned, tied = dict(none), dict(none), none

    sizes = tables(params, spec, "size", torch.abs if scale == "l1" else torch.square)
    if sizes.tables:
        log, lost = norm_scales(sizes) if scale == "norm" else balanced_scales(sizes, 1 if scale == "l1" else 2)
        # A network that is canonical up to the rounding of its numbers stays as it is, to the bit.
        log = log.where(log.abs().amax(-1, keepdim=True) > 8 * eps, 0.0)
        factor |= sizes.split(log.exp(), spec)
        dead |= sizes.split(lost, spec)
    params = act(Element(perm, factor), params, spec)

    cubes = tables(params, spec, "sign", lambda value: value**3)
    if cubes.tables:
        sign, unknown = signs(cubes, eps**0.7)
        flips = cubes.split(sign, spec)
        factor |= {name: factor[name] * flip for name, flip in flips.items()}
        unsigned |= cubes.split(unknown, spec)
        ones = {name: torch.ones_like(value) for name, value in factor.items()}
        params = act(Element(perm, ones | flips), params, spec)

    element = Element(perm, factor)
    if permute:
        order, tied = sorted_neurons(params, spec, eps**0.7)
        ones = {name: torch.ones_like(value) for name, value in factor.items()}
        element = compose(Element(order, ones), element)
        dead, unsigned = ({n: kind[n].gather(-1, order[n]) for n in kind} for kind in (dead, unsigned))
    return element, Report(dead, unsigned, tied)
