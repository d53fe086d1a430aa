"""Stacked networks as a sequence: choose, join, count, and cut into pieces that stay in cache."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .._types import Params

# Bytes per intermediate tensor: evaluation is several times slower once activations leave the cache.
_CHUNK_BYTES = 8 << 20
_WIDEST = 64
_WIDER = 4  # channels of a convolution hold that many numbers for each pixel, about


def select(params: Params, where: slice | Int[Tensor, " n"]) -> Params:
    """The chosen networks of a stack."""
    return {name: tensor[where] for name, tensor in params.items()}


def concatenate(parts: list[Params]) -> Params:
    """Several stacks as one."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def num_networks(params: Params) -> int:
    """Length of the leading axis."""
    return len(next(iter(params.values())))


def pieces(num: int, inputs: int) -> Iterator[slice]:
    """Slices over networks, each small enough that activations on so many inputs stay in cache."""
    size = max(1, _CHUNK_BYTES // (4 * _WIDEST * max(inputs, 1)))
    for start in range(0, num, size):
        yield slice(start, min(start + size, num))


def outputs(
    forward: Callable[[Params, Tensor], Tensor], params: Params, images: Float[Tensor, "p i"]
) -> Float[Tensor, "b p o"]:
    """Outputs of stacked networks on one set of images, few at a time: activations of large images leave the cache."""
    most = max(1, _CHUNK_BYTES // (4 * max(_WIDEST, _WIDER * images.shape[-1])))
    blocks = images.split(most)
    found = [
        torch.cat([forward(some, block) for block in blocks], 1)
        for some in (select(params, piece) for piece in pieces(num_networks(params), min(most, len(images))))
    ]
    return torch.cat(found)


def spread(num: int, count: int) -> Int[Tensor, " c"]:
    """``count`` of ``num`` indices, evenly spaced."""
    return torch.arange(count) * num // count


def to(params: Params, device: torch.device) -> Params:
    """The stack on a device."""
    return {name: tensor.to(device) for name, tensor in params.items()}


@torch.no_grad()
def in_passes(model: nn.Module, params: Params, per_pass: int) -> Params:
    """The new networks that an operator makes of stacked ones, so many at a time."""
    num = num_networks(params)
    done = concatenate([model(select(params, slice(at, at + per_pass))) for at in range(0, num, per_pass)])
    return {name: done[name] for name in params}
