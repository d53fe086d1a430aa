"""Networks on the ``meta`` device, which have shapes and no numbers: random stand-ins, so that a spec can be tried."""

import copy

import torch
from torch import Tensor, nn

LIMIT = 200_000_000
"""Numbers of parameters and buffers up to which stand-ins are made (0.8 GB)."""


def size(module: nn.Module) -> int:
    """How many numbers the parameters and buffers hold."""
    return sum(value.numel() for value in (*module.parameters(), *module.buffers()))


def materialized(module: nn.Module) -> nn.Module:
    """A copy of the network in which every tensor without numbers has random ones, on the CPU and in float32."""
    net = copy.deepcopy(module).eval()
    made: dict[int, Tensor] = {}  # tied tensors stay tied
    for part in net.modules():
        for name, value in (
            *part.named_parameters(recurse=False, remove_duplicate=False),
            *part.named_buffers(recurse=False, remove_duplicate=False),
        ):
            if value.is_meta:
                made.setdefault(id(value), stand_in(value))
                setattr(part, name, made[id(value)])
    return net


def stand_in(value: Tensor) -> Tensor:
    """``value``, or if it has no numbers, a tensor of its shape that has.

    Weights are normal, of the size that keeps a signal's; tables are positive, masks let everything through, and
    positions and tokens are 0, which every table has.
    """
    if not value.is_meta:
        return value
    if isinstance(value, nn.Parameter) and value.is_floating_point():
        fan_in = max(1, value[0].numel()) if value.ndim > 1 else 4
        return nn.Parameter(torch.randn(value.shape) * fan_in**-0.5)
    if value.is_floating_point():
        return torch.rand(value.shape) + 0.5
    if value.dtype == torch.bool:
        return torch.ones(value.shape, dtype=torch.bool)
    return torch.zeros(value.shape, dtype=value.dtype)
