"""The network of the Small CNN Zoo."""

from collections.abc import Mapping
from typing import Literal, Self, final

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ._conv import AbstractConvTarget
from .activations import ActivationName, activation_function


@final
class CNN(nn.Module):
    """Classifier of gray images: three 3x3 convolutions of stride 2, the mean over places, one dense layer.

    Source: Unterthiner et al. 2021, arXiv:2002.11448 (4,970 parameters with 16 channels).
    """

    def __init__(self, channels: int = 16, activation: str = "relu", num_classes: int = 10) -> None:
        super().__init__()
        self._function = activation_function(activation)
        self.convs = nn.ModuleList(nn.Conv2d(a, channels, 3, stride=2) for a in (1, channels, channels))
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Float[Tensor, "p 1 h w"]) -> Float[Tensor, "p o"]:
        for conv in self.convs:
            x = self._function(conv(x))
        return self.head(x.mean((2, 3)))


@final
class CNNTarget(AbstractConvTarget):
    """Configuration of a :class:`CNN`."""

    kind: Literal["cnn"] = "cnn"
    activation: ActivationName = Field(default="relu", description="Activation after each convolution.")

    def build(self) -> CNN:
        """The module this configuration describes."""
        return CNN(self.channels, self.activation, self.num_classes)

    @classmethod
    def of_shapes(cls, shapes: Mapping[str, tuple[int, ...]], activation: ActivationName) -> Self | None:
        """The target whose parameters have these shapes, but for the size of its images, which they do not show."""
        head = shapes.get("head.weight", ())
        if len(head) != 2 or head[0] < 2:
            return None
        target = cls(channels=head[1], num_classes=head[0], activation=activation)
        return target if target.shapes() == dict(shapes) else None

    @property
    def nonlinearity(self) -> str:
        """What happens to a hidden pre-activation; part of the architecture's name."""
        return self.activation
