"""How far rounding may have moved each entry of a network: by its number type, or by an even grid of few bits."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from .._types import Params


def rounding(value: Tensor, bits: int | None) -> Float[Tensor, "..."]:
    """What rounding to the type of ``value`` moves an entry by at most, float64; 0 for whole numbers.

    With ``bits``, half a step for a tensor that lies on a symmetric grid of so many bits, one step for all of it or one
    for each entry of its first or second axis (the output channels of a layer, and of a transposed one).
    """
    wide = value.to(torch.float64).abs()
    if not value.is_floating_point() or not value.numel():
        return torch.zeros_like(wide)
    kind = torch.finfo(value.dtype)
    # Scales come from sums that are rounded as well: a small part of the largest entry.
    room = unit(value.dtype) * (wide + 1e-3 * wide.max() + kind.tiny)
    step = None if bits is None else _step(wide, bits, kind.eps)
    return room if step is None else room + step / 2


def rounded_otherwise(params: Params, rooms: Params, generator: Generator) -> Params:
    """The parameters, each moved at random by no more than its rounding."""
    draw = {n: 2 * torch.rand(room.shape, generator=generator, dtype=torch.float64) - 1 for n, room in rooms.items()}
    return {n: v + (rooms[n] * draw[n]).to(v) if v.is_floating_point() else v for n, v in params.items()}


def unit(dtype: torch.dtype) -> float:
    """Relative rounding of a float type; of float64 a few, since moving a network and comparing it round as often."""
    return max(torch.finfo(dtype).eps / 2, 4 * torch.finfo(torch.float64).eps)


def _step(wide: Float[Tensor, "..."], bits: int, eps: float) -> Float[Tensor, "..."] | None:
    """The step of the grid on which magnitudes lie, the largest on its last place; ``None`` if there is none."""
    last = 2 ** (bits - 1) - 1
    slack = 2 * last * max(eps, torch.finfo(torch.float32).eps)
    for axis in (None, *range(min(wide.dim(), 2))):
        away = tuple(dim for dim in range(wide.dim()) if dim != axis)
        step = (wide.amax(away, keepdim=True) if away else wide) / last
        place = wide / step.where(step > 0, 1.0)
        # Zeros and the largest entries lie on any grid, so they show nothing.
        telling = (place > 0.5) & (place < last - 0.5)
        off = (place - place.round()).abs()
        if bool((off <= slack).all()) and (2 * slack) ** int(telling.sum()) < 1e-6:
            return step
    return None
