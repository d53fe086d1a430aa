"""What an entry of the list of test architectures is made of."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Tokens:
    """An integer input of ``shape`` with values below ``vocabulary``."""

    vocabulary: int
    shape: tuple[int, ...]


Input = tuple[int, ...] | Tokens


@dataclass(frozen=True)
class Architecture:
    """A small network of a known kind, always built with the same numbers.

    Attributes:
        name: Its key in the list.
        make: Makes the module, in whatever type and mode.
        inputs: By input, the shape (floating point) or the tokens; the batch is 2.
        notes: How many scales it has, and why: summed over spaces, in forward order where it helps.
        scales: Their number: the sum that the notes account for.
    """

    name: str
    make: Callable[[], nn.Module]
    inputs: tuple[Input, ...]
    notes: str
    scales: int = 0

    def factory(self) -> nn.Module:
        """The module in float64 and eval mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.make().double().eval()

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the right shapes; tokens run through the whole vocabulary, as far as there is room."""
        generator = torch.Generator().manual_seed(0)
        return tuple(
            (torch.arange(torch.Size(given.shape).numel()).reshape(given.shape) - 1) % given.vocabulary
            if isinstance(given, Tokens)
            else torch.randn(given, generator=generator, dtype=torch.float64)
            for given in self.inputs
        )
