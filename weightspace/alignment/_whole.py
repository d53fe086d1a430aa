"""Whole numbers have no mean: counters are taken from one network, quantized weights are refused."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .._errors import SpecMismatch


def check_whole(name: str, values: Sequence[Tensor], *, moved: bool = False) -> None:
    """Refuse whole numbers along an axis that differ between networks, or are moved; single ones (counters) may differ.

    Raises:
        SpecMismatch: naming the parameter.
    """
    first = values[0]
    if first.is_floating_point() or not first.ndim:
        return
    if not moved and all(torch.equal(first, value) for value in values):
        return
    word = str(first.dtype).removeprefix("torch.")
    raise SpecMismatch(
        f"parameter {name!r} is {word}: whole numbers that are moved, or differ between networks, have no mean. "
        f"Convert it first, e.g. params[{name!r}].float()."
    )
