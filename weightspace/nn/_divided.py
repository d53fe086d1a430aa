"""Positive scales divided out beforehand, and changes brought back.

Where every scaled neuron has a fan-in to be measured by, the normal form does it, differentiably and exactly. Richer
specs are read where the weights are smallest (balanced); the scales found there count as constants.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from .._errors import SpecError
from .._types import Params
from ..gauge import Element, act, change_from_normal_form, has_positive_scales, identity, inverse, normal_form
from ..gauge.canonical import balance, lengths
from ..spec import SymmetrySpec, layout, linear_part, relabeled

SCALED = ("positive", "nonzero")
Back = Callable[[Params], Params]
"""Changes made where scales were divided out, as changes of the networks themselves."""


def has_normal_form(spec: SymmetrySpec) -> bool:
    """Whether every scaled neuron has a fan-in or bias that measures it, on plain axes."""
    try:
        plan = layout(spec)
    except SpecError:
        return False
    reached = {space.name for space in spec.spaces if space.fixed or space.scale not in SCALED}
    waiting = [space.name for space in spec.spaces if space.name not in reached]
    while waiting:
        found = next(
            (n for n in waiting if plan.biases_of(n) or any(w.source in reached for w in plan.into(n))), None
        )  # fmt: skip
        if found is None:
            return False
        waiting.remove(found)
        reached.add(found)
    return True


def divided(params: Mapping[str, Tensor], spec: SymmetrySpec) -> tuple[Mapping[str, Tensor], Back]:
    """Stacked networks without their positive scales, and the way back for changes."""
    if not has_positive_scales(spec):
        return params, lambda change: change
    if has_normal_form(spec):
        normal, gauge = normal_form(params, spec)
        return normal, lambda change: change_from_normal_form(change, normal, gauge, spec)
    if any(value.is_meta for value in params.values()):
        return params, lambda change: change  # no values, no scales: shapes are all that is asked
    exact = {name: value.detach().double() for name, value in params.items()}
    moved, element = balance(exact, spec)
    there = act(element, params, spec)

    def back(change: Params) -> Params:
        change = act(relevance(moved, spec), change, _sizes(spec))
        return act(inverse(element), change, linear_part(spec))

    return there, back


def relevance(normal: Mapping[str, Tensor], spec: SymmetrySpec) -> Element:
    """How large each neuron is, balanced, among those of its space: near 1 for ordinary ones, 0 for dead ones.

    A change in units of the layer has no bound once it is brought back to a nearly dead neuron, whose scale is
    arbitrary. Multiplied by this it is about ten times that of an ordinary neuron, in units of its own weights.
    """
    found, unit = {}, identity(spec).expand(next(iter(normal.values())).shape[0])
    for name, length in lengths(normal, spec).items():
        mean = length.square().mean(-1, keepdim=True).sqrt()
        ratio = length / mean.where(mean > 0, 1.0)
        found[name] = (ratio / (ratio + 0.1)).clamp_min(1e-30)
    return Element(unit.perm, unit.scale | found)


def _sizes(spec: SymmetrySpec) -> SymmetrySpec:
    """Scales that act by the sizes of their powers, fan-in and fan-out alike."""
    return relabeled(
        spec,
        lambda part: replace(
            part,
            power=abs(part.power),
            offset=0.0,
            scales=tuple(replace(scale, power=abs(scale.power)) for scale in part.scales),
        ),
    )
