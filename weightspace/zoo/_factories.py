"""Architectures of the zoos with an example input, for ``ws.derive`` and ``--model weightspace.zoo:NAME``."""

import torch
from torch import Tensor

from .targets import CNN, MLP, ResNet, Siren

_WIDE = (784, 512, 512, 512, 10)


def siren() -> tuple[Siren, Tensor]:
    """SIREN of the INR zoos: pixel coordinates, two hidden layers of 32 sines, an intensity."""
    return Siren(), torch.zeros(1, 2)


def siren_colour() -> tuple[Siren, Tensor]:
    """The same with three intensities: red, green and blue."""
    return Siren((2, 32, 32, 3)), torch.zeros(1, 2)


def wide_mlp_relu() -> tuple[MLP, Tensor]:
    """MLP with three hidden layers of 512 for flattened 28x28 images, ReLU."""
    return MLP(_WIDE, "relu"), torch.zeros(1, 784)


def wide_mlp_tanh() -> tuple[MLP, Tensor]:
    """The same with tanh."""
    return MLP(_WIDE, "tanh"), torch.zeros(1, 784)


def cnn_relu() -> tuple[CNN, Tensor]:
    """Network of the Small CNN Zoo for gray 32x32 images, ReLU."""
    return CNN(activation="relu"), torch.zeros(1, 1, 32, 32)


def cnn_tanh() -> tuple[CNN, Tensor]:
    """The same with tanh."""
    return CNN(activation="tanh"), torch.zeros(1, 1, 32, 32)


def resnet() -> tuple[ResNet, Tensor]:
    """Residual network with batch normalization for gray 28x28 images."""
    return ResNet(), torch.zeros(1, 1, 28, 28)
