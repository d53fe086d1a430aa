"""Canonical forms: one network from each orbit, and the element that leads there."""

import math
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from ..._errors import ConfigError, SpecMismatch
from ..._types import Params
from ...spec import SymmetrySpec
from .._act import act
from .._element import Element, compose, identity
from ._balance import balanced_scales, one_sided
from ._coarse import coarse
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
      Each is unique and depends smoothly on the weights. From entries that could be made as small as one likes (the
      live side of a dead neuron, features before a batch normalization) their logarithm is taken.
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
        SpecMismatch: if the parameters do not fit the spec, or are not finite real numbers; if the form has entries
            that their type does not hold.
        ConfigError: if ``scale`` is none of the three.
    """
    if scale not in get_args(ScaleForm):
        raise ConfigError(f"scale is {scale!r}; it is one of {', '.join(get_args(ScaleForm))}. Type scale='norm'.")
    single = spec.check_values(params) is None
    stacked = {name: value.detach().unsqueeze(0) if single else value.detach() for name, value in params.items()}
    # Anything narrower overflows or rounds away in squares and cubes; the element is float64 in any case.
    exact = {name: _held(stacked[name].cpu()) for name in spec.axes}
    element, report = _decide(exact, spec, scale, permute, _types(stacked, spec))
    if single:
        element = element[0]
        kinds = (report.dead, report.scale_ties, report.sign_ties, report.order_ties)
        report = Report(*({name: value[0] for name, value in kind.items()} for kind in kinds))
    moved = act(element, params, spec)
    for name, value in moved.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise SpecMismatch(
                f"parameter {name!r} in canonical form is beyond the range of {value.dtype}. "
                f"Convert the network first, e.g. params[{name!r}].double(), or take scale='balanced'."
            )
    return moved, element, report


def balance(params: Mapping[str, Tensor], spec: SymmetrySpec) -> tuple[Params, Element]:
    """Networks at the sizes of scales for which the squared norm of the weights is smallest, and what leads there.

    Order and signs stay. The sizes are those of ``canonicalize(scale="balanced")``.

    Args:
        params: Stacked parameters, float64.
        spec: Their symmetry.
    """
    num = next(iter(params.values())).shape[0]
    element = identity(spec).expand(num)
    first = coarse(params, spec)
    there = params if first is None else act(first, params, spec)
    sizes = tables(there, spec, "size", torch.square)
    if not sizes.tables:
        return dict(params), element
    log, _ = balanced_scales(sizes, 2.0)
    most = -math.log(torch.finfo(torch.float64).tiny)
    element = Element(element.perm, element.scale | sizes.split(log.clamp(-most, most).exp(), spec))
    return act(element, there, spec), element if first is None else compose(element, first)


def lengths(params: Mapping[str, Tensor], spec: SymmetrySpec) -> Params:
    """By space, the Euclidean length of all entries that each neuron's scale multiplies (times their powers)."""
    sizes = tables(params, spec, "size", torch.square)
    unit = sizes.log_unit.exp().unsqueeze(-1)
    return sizes.split(sizes.pull(abs).sqrt() * unit, spec)


def _held(value: Tensor) -> Tensor:
    """What the entries say, in float64: those too small for all the digits of their type say no more than 0 does."""
    wide = value.double()
    return wide.where(wide.abs() >= torch.finfo(value.dtype).tiny, 0.0) if value.is_floating_point() else wide


def _types(params: Mapping[str, Tensor], spec: SymmetrySpec) -> tuple[float, float]:
    """The coarsest rounding among the parameters that the gauge acts on, and the largest scale all can be moved by."""
    acted = (name for name, axes in spec.params if any(part.space for axis in axes for part in axis.parts))
    kinds = [torch.finfo(kind) for kind in {params[name].dtype for name in acted} if kind.is_floating_point]
    kinds = kinds or [torch.finfo(torch.float64)]
    return max(kind.eps for kind in kinds), min(1 / kind.tiny for kind in kinds)


def _decide(
    params: Params, spec: SymmetrySpec, scale: str, permute: bool, types: tuple[float, float]
) -> tuple[Element, Report]:
    num, (eps, most) = next(iter(params.values())).shape[0], types
    still = identity(spec).expand(num)
    none = {name: torch.zeros_like(perm, dtype=torch.bool) for name, perm in still.perm.items()}
    dead, unscaled, unsigned, tied = none, none, none, none
    element = still
    first = coarse(params, spec)
    if first is not None:
        params = act(first, params, spec)

    sizes = tables(params, spec, "size", torch.abs if scale == "l1" else torch.square)
    if sizes.tables:
        log, lost = norm_scales(sizes) if scale == "norm" else balanced_scales(sizes, 1.0 if scale == "l1" else 2.0)
        # A network that is canonical up to the rounding of its numbers stays as it is, to the bit.
        log = log.where(log.abs().amax(-1, keepdim=True) > 8 * eps, 0.0)
        lost = lost | (log.abs() > math.log(most))
        log = log.clamp(-math.log(most), math.log(most))
        element = Element(still.perm, still.scale | sizes.split(log.exp(), spec))
        dead, unscaled = (none | sizes.split(part, spec) for part in (one_sided(sizes), lost))
        params = act(element, params, spec)

    cubes = tables(params, spec, "sign", lambda value: value**3)
    if cubes.tables:
        sign, unknown = signs(cubes, tables(params, spec, "sign", lambda value: value**6), eps**0.7)
        flips = Element(still.perm, still.scale | cubes.split(sign, spec))
        unsigned = none | cubes.split(unknown, spec)
        element, params = compose(flips, element), act(flips, params, spec)

    if permute:
        order, tied = sorted_neurons(params, spec, eps**0.7)
        element = compose(Element(order, still.scale), element)
        dead, unscaled, unsigned = (
            {n: kind[n].gather(-1, order[n]) for n in kind} for kind in (dead, unscaled, unsigned)
        )
    return element if first is None else compose(element, first), Report(dead, unscaled, unsigned, tied)
