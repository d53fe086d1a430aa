"""Normalization that keeps metanetworks alive and lets the gauge pass.

Without it the output of eight rounds at initialization differs between unrelated networks by 1e-8 of its
size: training stalls, and every law holds vacuously. Dividing by a root mean square is odd, hence legal for
signs; for positive scales the feature is divided by its neuron gauge first and multiplied by it after.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..gauge import reciprocal_or_zero


@final
class GaugeNorm(nn.Module):
    """Node features divided by the root mean square of their layer, measured in the neuron gauge.

    The mean runs over the neurons and channels of one network's layer, so the relative sizes of neurons
    survive; a mean over channels alone would forget them.
    """

    eps = 1e-6

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "b n c"], gauge: Float[Tensor, "b n"]) -> Float[Tensor, "b n c"]:
        z = x * reciprocal_or_zero(gauge).unsqueeze(-1)
        z = z * torch.rsqrt(z.square().mean((-2, -1), keepdim=True) + self.eps)
        return z * self.gain * gauge.unsqueeze(-1)
