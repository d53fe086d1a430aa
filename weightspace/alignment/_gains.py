"""Signs that gains settle: where one number stands for a neuron, its sign is the neuron's.

A network may turn the sign of what follows a normalization, or goes into batch normalization, if the gain turns too.
Between networks from different trainings neither weights nor features say which sign is meant, but gains do: nearly all
are positive, and a mean of gains of different signs silences the neuron.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .._types import Params
from ..gauge import Element, act, compose, identity, inverse
from ..gauge.match import Problem, Progress, best_start, move, problem
from ..spec import Axis, Joined, SymmetrySpec

NEAR_ZERO = 0.05
"""Product of two gains, relative to the mean of such products, below which their signs say nothing."""


def gains(spec: SymmetrySpec) -> dict[str, str]:
    """By space whose sign a gain settles, the name of the gain.

    A gain holds one number for each neuron, and is not called bias. Either the neuron's sign multiplies it beside what
    else does, as that of what goes into batch normalization, or all that makes the neuron (a layer or root mean square
    normalization), or all that reads it (a factor on the output of a layer), is such numbers.
    """
    wide = {
        turned
        for _, axes in spec.params
        if _neuron(axes) is None
        for axis in axes
        for part in axis.parts
        for turned in _turning(spec, part)
    }
    found: dict[str, str] = {}
    for name, axes in spec.params:
        part = _neuron(axes)
        turned = [] if part is None else _turning(spec, part)
        if len(turned) == 1 and name.rpartition(".")[2] != "bias":
            space, side = turned[0]
            if side == 0 or (space, side) not in wide:
                found.setdefault(space, name)
    return found


def without_gain_signs(spec: SymmetrySpec) -> SymmetrySpec:
    """The symmetry that leaves the signs of gains alone."""
    settled = {space: {"sign": "trivial", "nonzero": "positive"}[spec.space[space].scale] for space in gains(spec)}
    spaces = tuple(replace(space, scale=settled.get(space.name, space.scale)) for space in spec.spaces)
    return SymmetrySpec(spaces, spec.params)


def set_upright(params: Mapping[str, Tensor], spec: SymmetrySpec) -> tuple[Params, Element]:
    """A network, or stacked ones, in the gauge where no gain is negative, and the signs that lead there."""
    num = spec.check(params)
    element = identity(spec) if num is None else identity(spec).expand(num)
    signs = {space: torch.where(rows < 0, -1.0, 1.0).double() for space, rows in _by_space(params, spec).items()}
    element = Element(element.perm, element.scale | signs)
    return act(element, params, spec), element


def opposed(left: Mapping[str, Tensor], right: Mapping[str, Tensor], spec: SymmetrySpec) -> Bool[Tensor, "*b"]:
    """Whether two networks (or two of each pair of stacks) have gains of different signs at one place.

    Those near 0 are left out: noise turns them, and nothing is lost with them.
    """
    found = [torch.zeros(spec.check(left) or (), dtype=torch.bool)]
    here, there = _by_space(left, spec), _by_space(right, spec)
    for space, gain in here.items():
        product = gain.double() * there[space].double()
        found.append((product < -NEAR_ZERO * product.abs().mean(-1, keepdim=True)).any(-1))
    return torch.stack(found).any(0)


def nearest_match(
    task: Problem, restarts: int, seed: int, progress: Progress | None = None
) -> tuple[Element, Float[Tensor, " b"], dict[str, Float[Tensor, " b"]]]:
    """As :func:`weightspace.gauge.match.best_start`, but where that sets gains against each other, their signs stay."""
    best, far, began = best_start(task, restarts, seed, progress)
    which = opposed(task.left, move(best, task.right, task.spec), task.spec).nonzero()[:, 0]
    if len(which):
        (left, to_left), (right, to_right) = (
            set_upright({name: value[which] for name, value in params.items()}, task.spec)
            for params in (task.left, task.right)
        )
        upright = problem(left, right, without_gain_signs(task.spec))
        found, its, _ = best_start(upright, restarts, seed, progress)
        best = best.put(which, compose(inverse(to_left), compose(found, to_right)))
        far = far.index_copy(0, which, its)
    return best, far, began


def _by_space(params: Mapping[str, Tensor], spec: SymmetrySpec) -> dict[str, Float[Tensor, "*b _n"]]:
    return {
        space: params[name].flatten(params[name].ndim - len(spec.axes[name])) for space, name in gains(spec).items()
    }


def _neuron(axes: tuple[Axis | Joined, ...]) -> Axis | None:
    """The label of the one axis along which a parameter holds a single number for each neuron."""
    named = [axis for axis in axes if any(part.space is not None for part in axis.parts)]
    others = [part.repeat for axis in axes if axis not in named for part in axis.parts]
    if len(named) != 1 or any(size > 1 for size in others):
        return None
    axis = named[0]
    if not isinstance(axis, Axis) or (axis.repeat, axis.times, axis.over, axis.index) != (1, 1, None, None):
        return None
    return axis


def _turning(spec: SymmetrySpec, part: Axis) -> list[tuple[str, int]]:
    """Spaces whose sign multiplies a label: 1 where neurons are made, -1 where read, 0 where only signs are."""
    labels = [(part.space, part.power, "all"), *((scale.space, scale.power, scale.part) for scale in part.scales)]
    return [
        (name, 0 if which == "sign" or (name != part.space and spec.space[name].scale == "sign") else power)
        for name, power, which in labels
        if name is not None and spec.space[name].scale in ("sign", "nonzero") and power % 2 and which != "size"
    ]
