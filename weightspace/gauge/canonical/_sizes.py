"""How large networks are: units and norms that are numbers where squares of entries are none."""

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

HUGE = 200
"""Binary exponent of the largest entry from which on a network is measured in units of it."""


def ordinary(params: Mapping[str, Tensor], beyond: int = HUGE) -> Bool[Tensor, " b"]:
    """For each of stacked networks, whether the largest entries of all parameters have squares and cubes that are
    numbers; parameters that are 0 do."""
    most = torch.stack([_largest(value.detach().cpu()) for value in params.values() if value.numel()])
    return ((most.frexp().exponent.abs() <= beyond) | (most == 0)).all(0)


def units(params: Mapping[str, Tensor], beyond: int = HUGE) -> Float[Tensor, " b"]:
    """For each of stacked networks 1, or where powers of the entries would overflow a power of 2 near the largest."""
    most = torch.stack([_largest(value.detach().cpu()) for value in params.values() if value.numel()])
    _, exponent = most.amax(0).frexp()
    return torch.where(exponent.abs() > beyond, exponent, 0).double().exp2()


def _largest(value: Tensor) -> Float[Tensor, " b"]:
    """For each of stacked tensors the largest magnitude of an entry; without a copy, where its type is wide enough."""
    wide = value if value.dtype in (torch.float32, torch.float64) else value.double()
    flat = wide.reshape(len(wide), -1)
    return torch.maximum(flat.amax(1), -flat.amin(1)).double()


def norm_of(value: Callable[[str], Tensor], names: Iterable[str]) -> float:
    """Euclidean norm of all entries of some tensors, which are made one by one, whatever their size."""
    names = list(names)
    most = max((float(_largest(value(name).unsqueeze(0))) for name in names if value(name).numel()), default=0.0)
    if most == 0:
        return 0.0
    unit = math.ldexp(1.0, min(math.frexp(most)[1], 1000))
    return unit * sum(float((value(name) / unit).square().sum()) for name in names) ** 0.5
