"""The smallest L1 norm among all networks with the same function that the scale gauge reaches."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..._errors import SpecError
from ..._types import Params
from ...spec import Axis, SymmetrySpec

_SCALED = ("positive", "nonzero")


def orbit_minimal_l1(
    params: Params, spec: SymmetrySpec, *, tolerance: float = 1e-9, max_sweeps: int = 1000
) -> Float[Tensor, " b"]:
    """Minimum of sum |w| over the rescalings of hidden neurons, per network; plain L1 if none can be rescaled.

    With positive scales the L1 norm is no property of the function: one fan-in can grow while the fan-out
    shrinks. The minimum is one. In the logarithms of the scales the sum is convex, and for one neuron with
    fan-in sum ``a`` and fan-out sum ``c`` the best scale is ``sqrt(c / a)``; sweeping over the spaces
    therefore converges to the minimum. A neuron that reads nothing or feeds nothing costs 0 in the limit.

    Args:
        params: Stacked parameters.
        spec: Their symmetry.
        tolerance: Stop when a sweep lowers every network's sum by less than this fraction.
        max_sweeps: Upper bound on sweeps.

    Raises:
        SpecError: if a rescaled space meets a parameter twice or with a power other than 1 and -1.
    """
    weights = {name: tensor.detach().abs().double() for name, tensor in params.items()}
    spaces = [space.name for space in spec.free if space.scale in _SCALED]
    places = {space: _places(spec, space) for space in spaces}
    total = _total(weights)
    for _ in range(max_sweeps if spaces else 0):
        before = total
        for space in spaces:
            _balance(weights, places[space], spec.space[space].size)
        total = _total(weights)
        if bool((before - total <= tolerance * before).all()):
            break
    return total


def _places(spec: SymmetrySpec, space: str) -> list[tuple[str, int, Axis]]:
    places: list[tuple[str, int, Axis]] = []
    for name in spec.axes:
        axes = spec.plain_axes(name)
        here = [(name, index, axis) for index, axis in enumerate(axes) if axis.space == space and axis.power]
        if len(here) > 1 or any(abs(axis.power) != 1 for _, _, axis in here):
            raise SpecError(
                f"the smallest L1 norm needs space {space!r} on one axis of a parameter with power 1 or -1; "
                f"parameter {name!r} has axes {axes}. Report sum |w| instead."
            )
        places += here
    return places


def _balance(weights: Params, places: list[tuple[str, int, Axis]], size: int) -> None:
    sums = {1: torch.zeros(()), -1: torch.zeros(())}
    for name, index, axis in places:
        by_neuron = weights[name].unflatten(index + 1, (size, axis.repeat)).movedim(index + 1, 1)
        sums[axis.power] = sums[axis.power] + by_neuron.flatten(2).sum(-1)
    fan_in, fan_out = sums[1], sums[-1]
    alive = (fan_in > 0) & (fan_out > 0)
    # Zero on both sides of a dead neuron: the limit of ever larger (or smaller) scales.
    grow = torch.where(alive, fan_out / fan_in.where(alive, 1.0), 0.0).sqrt()
    shrink = torch.where(alive, fan_in / fan_out.where(alive, 1.0), 0.0).sqrt()
    for name, index, axis in places:
        factor = (grow if axis.power == 1 else shrink).repeat_interleave(axis.repeat, 1)
        shape = [len(factor), *([1] * (weights[name].dim() - 1))]
        shape[index + 1] = factor.shape[1]
        weights[name] = weights[name] * factor.reshape(shape)


def _total(weights: Params) -> Tensor:
    return torch.stack([tensor.reshape(len(tensor), -1).sum(1) for tensor in weights.values()]).sum(0)
