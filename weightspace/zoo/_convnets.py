"""Small convolutional targets: the network of the Small CNN Zoo, and a residual network with batch normalization."""

from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from .._frozen import Frozen
from ._targets import ActivationName, activation_function


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
class ResidualBlock(nn.Module):
    """``relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))``; the shortcut is a projection where sizes change."""

    def __init__(self, fan_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride > 1 or fan_in != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(fan_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Float[Tensor, "p c h w"]) -> Float[Tensor, "p d i j"]:
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.shortcut(x) + self.norm2(self.conv2(h)))


@final
class ResNet(nn.Module):
    """Small residual classifier of gray images: a stem and three blocks, batch normalization after each convolution.

    The stem has stride 2 and is averaged over 2x2 places; the second block doubles the channels. Source: He et al.
    2016, arXiv:1512.03385, made small enough for many trainings on a CPU.
    """

    def __init__(self, channels: int = 16, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.blocks = nn.ModuleList(
            [
                ResidualBlock(channels, channels, 1),
                ResidualBlock(channels, 2 * channels, 2),
                ResidualBlock(2 * channels, 2 * channels, 1),
            ]
        )
        self.head = nn.Linear(2 * channels, num_classes)

    def forward(self, x: Float[Tensor, "p 1 h w"]) -> Float[Tensor, "p o"]:
        x = F.avg_pool2d(F.relu(self.norm(self.stem(x))), 2)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class _ConvTarget(Frozen):
    side: int = Field(default=32, ge=15, description="Pixels along a side of an image.")
    channels: int = Field(default=16, ge=1, description="Channels of the first convolution.")
    num_classes: int = Field(default=10, ge=2, description="Classes.")

    def example(self) -> Tensor:
        """One input."""
        return torch.zeros(1, 1, self.side, self.side)

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers that go in and out."""
        return self.side**2, self.num_classes


@final
class CNNTarget(_ConvTarget):
    """Configuration of a :class:`CNN`."""

    kind: Literal["cnn"] = "cnn"
    activation: ActivationName = Field(default="relu", description="Activation after each convolution.")

    def build(self) -> CNN:
        """The module this configuration describes."""
        return CNN(self.channels, self.activation, self.num_classes)

    @property
    def nonlinearity(self) -> str:
        """What happens to a hidden pre-activation; part of the architecture's name."""
        return self.activation


@final
class ResNetTarget(_ConvTarget):
    """Configuration of a :class:`ResNet`."""

    kind: Literal["resnet"] = "resnet"

    def build(self) -> ResNet:
        """The module this configuration describes."""
        return ResNet(self.channels, self.num_classes)

    @property
    def nonlinearity(self) -> str:
        """What happens to a hidden pre-activation; part of the architecture's name."""
        return "relu"
