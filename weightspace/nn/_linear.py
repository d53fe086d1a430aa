"""Products of many rows with a small matrix, by the faster of two equal routes.

On a CPU a 1x1 convolution over channels-last pixels reaches another kernel than a matrix product does. From a few
thousand rows on it is faster, forward and backward (``benchmarks/operator.py`` prints both); for fewer rows and for
any other type of number or device the plain product is taken.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

MIN_ROWS = 4096
"""Rows from which the convolution was faster on two cores."""
MIN_WIDTH = 32
"""Channels, in and out, from which it was."""


def matmul(x: Float[Tensor, "*b c"], weight: Float[Tensor, "o c"], bias: Tensor | None = None) -> Tensor:
    """``F.linear(x, weight, bias)``."""
    if not _many(x, weight):
        return F.linear(x, weight, bias)
    out = F.conv2d(_pixels(x), weight[:, :, None, None], bias)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], weight.shape[0])


def gradients(grad: Float[Tensor, "r o"], x: Float[Tensor, "r c"]) -> tuple[Float[Tensor, "o c"], Float[Tensor, " o"]]:
    """The gradients of weight and bias of ``F.linear(x, weight, bias)``."""
    if not _many(x, grad[: x.shape[1]]):
        return grad.t() @ x, grad.sum(0)
    sizes, shape, which = [grad.shape[1]], ([1, 1], [0, 0], [1, 1], False, [0, 0], 1), [False, True, True]
    like = x.new_empty(grad.shape[1], x.shape[1], 1, 1)
    found = torch.ops.aten.convolution_backward(_pixels(grad), _pixels(x), like, sizes, *shape, which)
    return found[1][:, :, 0, 0], found[2]


def _many(x: Tensor, weight: Tensor) -> bool:
    return (
        x.numel() >= MIN_ROWS * x.shape[-1]
        and min(weight.shape) >= MIN_WIDTH
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
    )


def _pixels(x: Float[Tensor, "*b c"]) -> Float[Tensor, "i c r 1"]:
    """The rows as pixels of several images, channels last; a weight's gradient runs image by image, in parallel."""
    rows = x.numel() // x.shape[-1]
    images = next(count for count in (64, 16, 4, 1) if rows % count == 0)
    return x.reshape(images, rows // images, 1, x.shape[-1]).permute(0, 3, 1, 2)
