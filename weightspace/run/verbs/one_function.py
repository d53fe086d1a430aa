"""Which of several networks compute the same although no element of the spec was found between them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..._types import Params
from ...gauge import compare_outputs, groups, output_vector

NEAR = 0.05
"""How far outputs may be apart, in units of their size, to be compared by rounding at all; bfloat16 needs as much."""


def one_function(
    files: Sequence[Path], read: Callable[[Path], Params], module: nn.Module, example: Any
) -> dict[Path, Path]:
    """For each file whose outputs agree with those of an earlier one, as far as rounding lets one say, the first such.

    Every network is run once on the same inputs; those with outputs near each other are compared by
    :func:`weightspace.gauge.compare_outputs`. Networks whose outputs do not change with their inputs agree with none.

    Args:
        files: Network files of one architecture, no two of which hold the same network.
        read: Gives the parameters of a file.
        module: The architecture; left as it was.
        example: Its input, or a tuple of its inputs.

    Raises:
        ConfigError: if the module cannot be run.
    """
    if len(files) < 2:
        return {}
    vectors = torch.stack([output_vector(module, read(file), example) for file in files])
    size = vectors.abs().amax()
    vectors = vectors / size.where(size > 0, 1.0)

    def compare(pairs: Sequence[tuple[int, int]]) -> list[float]:
        found = (compare_outputs(module, read(files[one]), read(files[two]), example) for one, two in pairs)
        return [0.0 if outputs.agree and outputs.telling else 1.0 for outputs in found]

    first, _ = groups(vectors, torch.full((len(files),), NEAR, dtype=torch.float64), compare, 0.5)
    return {file: files[row] for place, (file, row) in enumerate(zip(files, first, strict=True)) if row != place}
