"""The neuron gauge of positive-scale networks, and the normal form it defines.

Every neuron gets a length that scales exactly as the neuron does: with s = 1 on spaces without positive
scales (inputs, outputs, odd activations),

    s_i^2 = b_i^2 + sum_j (|W_ij| s_j)^2 .

Dividing by it gives a normal form on which positive scales no longer act; multiplying back restores the
network. Both are exact and contain no division by a weight, so nothing diverges at zero weights.

Source: ours; it replaces the reciprocals of arXiv:2406.10685 (App. B.2), with which training is unstable.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from .._types import Params
from ..spec import Axis, SymmetrySpec, Weight, layout

NeuronGauge = dict[str, Tensor]
"""Length ``[*b, n]`` of every neuron, by space; exactly 1 where no positive scale acts, 0 for dead neurons."""

SCALED = ("positive", "nonzero")


def has_positive_scales(spec: SymmetrySpec) -> bool:
    """Whether a positive scale acts on any space."""
    return any(space.scale in SCALED for space in spec.free)


def safe_norm(x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b"]:
    """Euclidean norm over the last axis, without underflow, with gradient 0 at the zero vector."""
    # Dividing by the largest entry first keeps 1e-30 from squaring to zero; it is a constant for the
    # gradient, since the norm does not depend on it. The inner guard matters as much as the outer one: the
    # square root's derivative at 0 is infinite, and 0 * inf in the backward pass is NaN.
    top = x.detach().abs().amax(-1)
    alive = top > 0
    top = top.where(alive, 1.0)
    total = (x / top.unsqueeze(-1)).square().sum(-1)
    return (top * total.where(alive, 1.0).sqrt()).where(alive, 0.0)


def reciprocal_or_zero(s: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
    """``1 / s``, and 0 where ``s`` is 0 (or so small that ``1 / s`` is no number of this type)."""
    alive = s >= torch.finfo(s.dtype).tiny
    return s.where(alive, 1.0).reciprocal().where(alive, 0.0)


def neuron_gauge(params: Mapping[str, Tensor], spec: SymmetrySpec) -> NeuronGauge:
    """Length of every neuron of every space; a positive scale ``q`` on a neuron multiplies its length by ``q``.

    Raises:
        SpecMismatch: if the parameters do not fit the spec.
    """
    num = spec.check(params)
    lead = () if num is None else (num,)
    plan = layout(spec)
    # A parameter that the gauge acts on: buffers that come first may be of another type (counters, say).
    some = next((params[part.name] for part in (*plan.weights, *plan.biases)), torch.zeros(()))
    waiting = [space for space in spec.free if space.scale in SCALED]
    gauge: NeuronGauge = {s.name: some.new_ones(*lead, s.size) for s in spec.spaces if s not in waiting}
    while waiting:
        # In the order of the weights, whatever the order in which the spec lists the spaces.
        reached = (s for s in waiting if all(weight.source in gauge for weight in plan.into(s.name)))
        space = next(reached, waiting[0])
        waiting.remove(space)
        terms = []
        for bias in plan.biases_of(space.name):
            value = params[bias.name].movedim(bias.dim + len(lead), len(lead))
            terms.append(value.reshape(*lead, space.size, -1))
        for weight in plan.into(space.name):
            # A weight from a space that is not reached yet closes a cycle; leaving it out keeps the law.
            if weight.source in gauge:
                terms.append(_fan_in(params[weight.name], weight, spec, gauge, len(lead)))
        gauge[space.name] = safe_norm(torch.cat(terms, -1)) if terms else some.new_zeros(*lead, space.size)
    return {space.name: gauge[space.name] for space in spec.spaces}


def normal_form(params: Mapping[str, Tensor], spec: SymmetrySpec) -> tuple[Params, NeuronGauge]:
    """The parameters divided by their neuron gauge, and that gauge.

    The function stays the same, every live neuron with positive scales gets unit length, and the result does
    not change when positive scales act on the input. The fan-out of dead neurons (length 0, output constantly
    0) becomes zero: it has no effect, and its scale is arbitrary.

    Raises:
        SpecMismatch: if the parameters do not fit the spec.
    """
    gauge = neuron_gauge(params, spec)
    inverse = {name: reciprocal_or_zero(s) for name, s in gauge.items()}
    return rescale(params, spec, fan_in=inverse, fan_out=gauge), gauge


def from_normal_form(params: Mapping[str, Tensor], gauge: NeuronGauge, spec: SymmetrySpec) -> Params:
    """The parameters (or changes of them) multiplied back into ``gauge``; zero on the fan-out of dead neurons."""
    inverse = {name: reciprocal_or_zero(s) for name, s in gauge.items()}
    return rescale(params, spec, fan_in=gauge, fan_out=inverse)


def change_from_normal_form(
    change: Mapping[str, Tensor], normal: Mapping[str, Tensor], gauge: NeuronGauge, spec: SymmetrySpec
) -> Params:
    """Changes of networks in normal form as changes of the networks themselves, bounded at nearly dead neurons.

    Args:
        change: Made in normal form.
        normal: The networks in normal form, see :func:`normal_form`.
        gauge: Their neuron gauge.
        spec: Their symmetry.
    """
    change = rescale(change, spec, fan_in={}, fan_out=neuron_relevance(normal, spec))
    return from_normal_form(change, gauge, spec)


def neuron_relevance(normal: Mapping[str, Tensor], spec: SymmetrySpec) -> NeuronGauge:
    """How much of each neuron arrives at the outputs: near 1 for ordinary neurons, 0 for dead ones.

    From the outputs backward: with ``r`` the length of a neuron's fan-out in normal form, each weight times the
    relevance of the neuron it reaches, over the root mean square of these lengths in its space, the relevance is
    ``r / (r + 0.1)``. No gauge changes it. A change made in normal form is divided by the neuron gauge on its
    fan-out; for a nearly dead neuron (weight decay leaves many at 1e-30) that quotient has no bound. Multiplied by
    the relevance it is at most about ten times the change of an ordinary neuron, in units of its own fan-out.

    Args:
        normal: Parameters in normal form, see :func:`normal_form`.
        spec: Their symmetry.
    """
    plan = layout(spec)
    lead = next(iter(normal.values())).ndim - len(spec.params[0][1])
    relevance: NeuronGauge = {}
    for space in reversed(spec.spaces):
        columns = []
        for weight in plan.out_of(space.name):
            value = normal[weight.name]
            if weight.target in relevance:
                # Rows of nearly dead neurons have unit length in normal form like all others; they carry nothing on.
                value = _times(value, relevance[weight.target], weight.target_dim, spec.plain_axes(weight.name), lead)
            value = value.movedim(weight.source_dim + lead, lead)
            columns.append(value.reshape(*value.shape[:lead], space.size, -1))
        if columns and not space.fixed:
            length = safe_norm(torch.cat(columns, -1))
            mean = safe_norm(length) / space.size**0.5
            ratio = length * reciprocal_or_zero(mean).unsqueeze(-1)
            relevance[space.name] = ratio / (ratio + 0.1)
    return relevance


def rescale(params: Mapping[str, Tensor], spec: SymmetrySpec, *, fan_in: NeuronGauge, fan_out: NeuronGauge) -> Params:
    """Fan-in axes multiplied by ``fan_in`` and fan-out axes by ``fan_out``, on spaces with positive scales.

    Spaces that a factor leaves out stay as they are.
    """
    scaled = {space.name for space in spec.free if space.scale in SCALED}
    result = {}
    for name in spec.axes:
        value, axes = params[name], spec.plain_axes(name)
        for dim, axis in enumerate(axes):
            if axis.space not in scaled:
                continue
            factors = fan_in if axis.power > 0 else fan_out
            if axis.space not in factors:
                continue
            value = _times(value, factors[axis.space] ** abs(axis.power), dim, axes, value.ndim - len(axes))
        result[name] = value
    return result


def _fan_in(value: Tensor, weight: Weight, spec: SymmetrySpec, gauge: NeuronGauge, lead: int) -> Tensor:
    """``W_ij s_j`` as ``[*b, n, everything a neuron reads]``."""
    value = _times(value, gauge[weight.source], weight.source_dim, spec.plain_axes(weight.name), lead)
    value = value.movedim(weight.target_dim + lead, lead)
    target = spec.space[weight.target].size
    return value.reshape(*value.shape[:lead], target, -1)


def _times(value: Tensor, factor: Tensor, dim: int, axes: tuple[Axis, ...], lead: int) -> Tensor:
    """``value`` with each neuron on axis ``dim`` multiplied by its entry of ``factor`` ``[*b, n]``."""
    if axes[dim].repeat > 1:
        factor = factor.repeat_interleave(axes[dim].repeat, -1)
    shape = [*value.shape[:lead], *[1] * len(axes)]
    shape[lead + dim] = factor.shape[-1]
    return value * factor.reshape(shape)
