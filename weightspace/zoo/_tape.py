"""Dropout for layers with many units: stretches of a tape in place of fresh random numbers."""

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_LENGTH = 2**18
_STRIDE = 16  # stretches start at multiples of it: a cache line


@final
class DropoutTape:
    """Which units of one network are kept: 1 or 0 for each unit and image.

    A tape of independent marks is drawn for every epoch; the marks of a layer on an image are a stretch of it that
    starts at a random place. One byte decides about a mark, so rates are multiples of 1/256. Drawing every mark
    anew would take as long as the products of the network.

    Args:
        seed: Stream of the network.
        rate: Share of units that are dropped.
        units: Of each layer.
        batch: Images per step at most.
        dtype: Of the marks.
    """

    def __init__(
        self,
        seed: np.random.SeedSequence,
        rate: float,
        units: Sequence[int],
        batch: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._rng = np.random.Generator(np.random.SFC64(seed))
        self._below, self.factor = round(rate * 256), 1 / (1 - rate)
        self._tape = torch.empty(max(_LENGTH, 2 * max(units)), dtype=dtype)
        self._stretches = [
            self._tape.as_strided(((len(self._tape) - num) // _STRIDE + 1, num), (_STRIDE, 1)) for num in units
        ]
        self._marks = [torch.empty(batch, num, dtype=dtype) for num in units]

    def draw(self) -> None:
        """A new tape."""
        self._tape.copy_(torch.from_numpy(self._rng.integers(0, 256, len(self._tape), np.uint8) >= self._below))

    def next(self, batch: int) -> list[Float[Tensor, "p n"]]:
        """Marks of each layer for the next step; they are overwritten by the next call."""
        out = []
        for stretches, marks in zip(self._stretches, self._marks, strict=True):
            start = torch.from_numpy(self._rng.integers(0, len(stretches), batch))
            out.append(torch.index_select(stretches, 0, start, out=marks[:batch]))
        return out
