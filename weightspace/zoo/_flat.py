"""Parameters of many networks as views of one buffer ``[num, P]``.

An optimizer step is then a few operations on the whole buffer.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from .._types import Params

Shapes = Mapping[str, tuple[int, ...]]


def num_weights(shapes: Shapes) -> int:
    """Scalars per network."""
    return sum(math.prod(shape) for shape in shapes.values())


def views(flat: Float[Tensor, "b w"], shapes: Shapes) -> Params:
    """Stacked parameters that share memory with ``flat``; writing to one writes to the other."""
    out: Params = {}
    start = 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        out[name] = flat[:, start : start + size].unflatten(1, shape)
        start += size
    return out


def pack(params: Params) -> Float[Tensor, "b w"]:
    """A new buffer holding the stacked parameters, in the order of the dictionary."""
    return torch.cat([value.flatten(1) for value in params.values()], dim=1)
