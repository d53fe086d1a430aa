"""The phase of sine neurons: ``sin(z + pi) = -sin(z)``, so a bias may be folded into half a turn.

The neuron gauge holds signs only; a phase adds to the bias, which no element does. Folding needs the frequency by
which the network multiplies before the sine, which the weights do not say.

Source: Kalogeropoulos et al. 2024, arXiv:2406.10685, App. A.3, with the frequency and for hidden layers only.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor

from ..._errors import ConfigError, SpecError
from ..._types import Params
from ...spec import SymmetrySpec


def phase(
    params: Mapping[str, Tensor], spec: SymmetrySpec, omega0: float = 30.0
) -> tuple[Params, dict[str, Int[Tensor, "*b _n"]]]:
    """The network with its sine neurons' phases ``omega0 * bias`` in [-pi/2, pi/2], and the half turns taken away.

    With ``k = round(omega0 * b / pi)`` and ``s = (-1)^k`` a neuron's bias becomes ``s (b - k pi / omega0)`` and its
    fan-in ``s`` times what it was; the layer after it stays. The function is the same. The phase is continuous but
    at the ends of the interval, where no choice is: -pi/2 and pi/2 are one neuron. Signs are still free:
    :func:`canonicalize` next. Spaces without a bias stay as they are.

    Args:
        params: One network or stacked networks with layers ``sin(omega0 * (W x + b))``.
        spec: Their symmetry. Neurons with the sign group must be sines (tanh has signs but no phase).
        omega0: The frequency.

    Raises:
        SpecMismatch: if the parameters do not fit the spec.
        SpecError: if no space has the sign group, or one has several biases or weights with its neurons in no
            plain fan-in.
        ConfigError: if ``omega0`` is not a positive number.
    """
    if not (omega0 > 0 and math.isfinite(omega0)):
        raise ConfigError(f"omega0 is {omega0}; a frequency is a positive number. The usual one is omega0=30.0.")
    lead = int(spec.check_values(params) is not None)
    sines = [space.name for space in spec.free if space.scale == "sign"]
    if not sines:
        raise SpecError(
            f"no space of this spec ({spec}) has signs, so none is made of sines. Give the spec of a SIREN."
        )
    result, turns = {name: params[name] for name in spec.axes}, {}
    for space in sines:
        fan_in, bias = _fan_in(spec, space)
        if bias is None:
            continue
        value = params[bias].detach().double()
        turn = (omega0 * value / math.pi).round()
        sign = 1.0 - 2.0 * (turn % 2)
        turns[space] = turn.long()
        # Bits stay where nothing is to be folded.
        folded = (sign * (value - turn * (math.pi / omega0))).to(params[bias])
        result[bias] = torch.where(turn == 0, params[bias], folded)
        for name, dim in fan_in:
            shape = [*sign.shape[:lead], *[1] * len(spec.axes[name])]
            shape[lead + dim] = sign.shape[-1]
            result[name] = result[name] * sign.reshape(shape).to(result[name])
    return result, turns


def _fan_in(spec: SymmetrySpec, space: str) -> tuple[list[tuple[str, int]], str | None]:
    """Weights into a space, with their axis, and its bias."""
    weights: list[tuple[str, int]] = []
    biases: list[str] = []
    for name in spec.axes:
        for dim, axis in enumerate(spec.axes[name]):
            here = [part for part in axis.parts if part.space == space and part.power > 0]
            if not here:
                continue
            if not axis.plain or here[0].power != 1 or here[0].repeat != 1:
                raise SpecError(
                    f"parameter {name!r} has no plain axis of space {space!r}, so its phases cannot be folded. "
                    "Leave the phases as they are."
                )
            if len(spec.axes[name]) == 1:
                biases.append(name)
            else:
                weights.append((name, dim))
    if len(biases) > 1:
        raise SpecError(
            f"space {space!r} has the biases {', '.join(biases)}; one phase is the sum of both. "
            "Add them into one of them first."
        )
    return weights, next(iter(biases), None)
