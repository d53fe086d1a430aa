"""The MLP of families that make one vector of a network and know nothing of its structure."""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn


@final
class Perceptron(nn.Module):
    """Hidden layers (Linear, LayerNorm, SiLU, dropout), then a Linear.

    Args:
        features: Numbers in.
        width: Hidden units of a layer.
        depth: Hidden layers.
        out: Numbers out.
        dropout: Probability on hidden units.
    """

    def __init__(self, features: int, width: int, depth: int, out: int, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for read in [features, *[width] * (depth - 1)]:
            layers += [nn.Linear(read, width), nn.LayerNorm(width), nn.SiLU(), nn.Dropout(dropout)]
        self.hidden = nn.Sequential(*layers)
        self.last = nn.Linear(width, out)

    def forward(self, x: Float[Tensor, "b f"]) -> Float[Tensor, "b o"]:
        return self.last(self.hidden(x))
