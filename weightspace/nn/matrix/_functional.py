"""Read-out of a functional: means over layers, and the units that have names one by one."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._equivariant import Mlp
from ._nodes import Nodes

MOST_OUTPUTS = 256
"""Output units that are read one by one; of more (a vocabulary) the mean is."""


@final
class Pool(nn.Module):
    """A vector per network that no element changes.

    Args:
        nodes: Fields of the networks.
        width: Channels of states.
        out: Numbers per network.
        broken: Read states as they are, with their signs: the control.
    """

    mean: Tensor

    def __init__(self, nodes: Nodes, width: int, out: int, broken: bool) -> None:
        super().__init__()
        self.nodes, self.broken = nodes, broken
        self.outputs = [f for f in nodes.fields if nodes.is_output(f) and nodes.rows[f][1] <= MOST_OUTPUTS]
        self.first, self.second = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.layers = nn.Parameter(0.3 * torch.randn(len(nodes.fields), 2 * width))
        mean = torch.zeros(len(nodes.fields), nodes.num[0])
        for number, field in enumerate(nodes.fields):
            start, size = nodes.rows[field]
            mean[number, start : start + size] = 1 / size
        self.register_buffer("mean", mean, persistent=False)
        features = width * (1 + len(nodes.fields) + sum(nodes.rows[field][1] for field in self.outputs))
        self.head = nn.Sequential(nn.LayerNorm(features), Mlp(features, 2 * width, out))

    def forward(self, x: Float[Tensor, "b n c"], context: Float[Tensor, "b c"]) -> Float[Tensor, "b o"]:
        x = self.nodes.even(x, self.broken)
        hidden = nn.functional.silu(self.first(x) + self.layers[self.nodes.field_of])
        # The second map is linear: it may follow the mean, on a few rows.
        # Means differ less between networks than single units do; without the factor the named units drown them.
        pooled = 8 * self.second(self.mean @ hidden).flatten(1)
        rows = self.nodes.split(x)
        named = [rows[field].flatten(1) for field in self.outputs]
        return self.head(torch.cat([context, pooled, *named], -1))
