"""A small residual network with batch normalization."""

from collections.abc import Mapping
from typing import Literal, Self, final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ._conv import AbstractConvTarget
from .activations import ActivationName


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


@final
class ResNetTarget(AbstractConvTarget):
    """Configuration of a :class:`ResNet`."""

    kind: Literal["resnet"] = "resnet"

    def build(self) -> ResNet:
        """The module this configuration describes."""
        return ResNet(self.channels, self.num_classes)

    @classmethod
    def of_shapes(cls, shapes: Mapping[str, tuple[int, ...]], activation: ActivationName) -> Self | None:
        """The target whose parameters have these shapes, but for the size of its images, which they do not show."""
        stem, head = shapes.get("stem.weight", ()), shapes.get("head.weight", ())
        if activation != "relu" or len(stem) != 4 or len(head) != 2 or head[0] < 2:
            return None
        target = cls(channels=stem[0], num_classes=head[0])
        return target if target.shapes() == dict(shapes) else None

    @property
    def nonlinearity(self) -> str:
        """What happens to a hidden pre-activation; part of the architecture's name."""
        return "relu"
