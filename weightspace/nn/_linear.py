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
    rows = x.numel() // x.shape[-1]
    if not _large(rows, x, weight):
        return F.linear(x, weight, bias)
    # The rows as pixels of several images: the gradient of the weight is computed image by image, in parallel.
    images = next(count for count in (64, 16, 4, 1) if rows % count == 0)
    pixels = x.reshape(images, rows // images, 1, x.shape[-1]).permute(0, 3, 1, 2)
    out = F.conv2d(pixels, weight[:, :, None, None], bias)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], weight.shape[0])


def _large(rows: int, x: Tensor, weight: Tensor) -> bool:
    return (
        rows >= MIN_ROWS
        and min(weight.shape) >= MIN_WIDTH
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
    )
