"""The action on some rows of a parameter, which reads only the rows that it needs: for parameters too large to hold."""

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from ..spec import SymmetrySpec
from ._act import act
from ._axis import read_axis
from ._element import Element

Read = Callable[[Int[Tensor, " r"]], Tensor]
"""The rows of a parameter with the given numbers, in that order."""


def act_rows(element: Element, spec: SymmetrySpec, name: str, rows: range, read: Read) -> Tensor:
    """Rows of the named parameter as :func:`weightspace.act` would move it: ``act(...)[name][rows]``.

    Where an axis holds one block of a space and another axis says which, all rows are read.

    Args:
        element: One element, not a batch.
        spec: The symmetry.
        name: A parameter with at least one axis.
        rows: Consecutive rows of the result.
        read: Reads rows of the parameter in a type in which it may be scaled.
    """
    axes = spec.axes[name]
    if any(part.over is not None for axis in axes for part in axis.parts):
        alone = SymmetrySpec(spec.spaces, ((name, axes),))
        return act(element, {name: read(torch.arange(spec.shape(name)[0]))}, alone)[name][rows.start : rows.stop]
    here = slice(rows.start, rows.stop)
    value: Tensor | None = None
    for dim in range(len(axes)):
        reading = read_axis(element, spec, name, dim)
        value = read(reading.source[here]) if value is None else value.index_select(dim, reading.source)
        if reading.scale is not None:
            shape = [1] * value.ndim
            shape[dim] = -1
            scale = (reading.scale[here] if dim == 0 else reading.scale).to(value).view(shape)
            value = (value + reading.offset) * scale - reading.offset if reading.offset else value * scale
    assert value is not None, "the parameter has rows"
    return value
