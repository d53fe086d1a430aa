"""Dropout masks of many networks, each from its own stream."""

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

# Steps drawn at a time: one call of the generator costs as much as a thousand bytes; many bytes leave the cache.
_MOST_STEPS, _MOST_WORDS = 16, 2**14


@final
class DropoutMasks:
    """Factors 0 or 1/(1 - rate) for every hidden unit, image and step.

    Network ``k`` at step ``t`` reads bytes ``t * S`` to ``(t + 1) * S`` of its stream, whatever the other networks
    do; one byte decides about one unit, so rates are multiples of 1/256.

    Args:
        seeds: One stream a network.
        rates: Share of units that are dropped.
        widths: Sizes of the hidden layers.
        batch_size: Images per step.
        dtype: Of the factors.
    """

    def __init__(
        self,
        seeds: Sequence[np.random.SeedSequence],
        rates: Sequence[float],
        widths: Sequence[int],
        batch_size: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._bits = [np.random.SFC64(seed) for seed in seeds]
        self._widths = tuple(widths)
        self._words = -(-sum(widths) * batch_size // 8)
        self._steps = max(1, min(_MOST_STEPS, _MOST_WORDS // max(1, self._words)))
        rate = torch.tensor(rates, dtype=torch.float64).unsqueeze(1)
        self._keep = (1 / (1 - rate)).to(dtype)
        self._below = (rate * 256 - 1).to(dtype)
        self._block = torch.empty(0)
        self._step = 0

    def next(self, batch: int) -> list[Float[Tensor, "b p n"]]:
        """Factors of each hidden layer for the next step, on ``batch`` images (at most the batch size)."""
        place = self._step % self._steps
        if place == 0:
            words = np.empty((len(self._bits), self._steps, self._words), np.uint64)
            for row, bits in zip(words, self._bits, strict=True):
                row[...] = bits.random_raw(row.size).reshape(row.shape)
            self._block = torch.from_numpy(words.view(np.uint8))
        self._step += 1
        used = self._block[:, place, : sum(self._widths) * batch]
        # Bytes are integers, so clamping byte - 256 rate + 1 to [0, 1] is the comparison byte >= 256 rate, five
        # times faster than a boolean tensor and its conversion.
        factors = used.to(self._keep.dtype).sub_(self._below).clamp_(0, 1).mul_(self._keep)
        out, start = [], 0
        for width in self._widths:
            out.append(factors[:, start : start + width * batch].unflatten(1, (batch, width)))
            start += width * batch
        return out
