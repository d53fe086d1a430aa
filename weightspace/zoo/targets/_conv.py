"""Sizes of convolutional targets."""

import torch
from pydantic import Field
from torch import Tensor

from ._target import AbstractTarget


class AbstractConvTarget(AbstractTarget):
    """What targets that convolve gray images have in common."""

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
