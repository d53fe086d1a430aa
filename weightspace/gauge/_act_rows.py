"""The action on some rows of a parameter, which reads only the rows that it needs: for parameters too large to hold."""

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from ..spec import SymmetrySpec
from ._act import act, scaled
from ._axis import read_axis
from ._element import Element

Read = Callable[[Int[Tensor, " r"]], Tensor]
"""The rows of a parameter with the given numbers, in that order."""


Rows = Callable[[range, Read], Tensor]
"""Consecutive rows of the moved parameter, given what reads rows of the parameter as it is."""


def act_rows(element: Element, spec: SymmetrySpec, name: str) -> Rows:
    """What gives rows of the named parameter as :func:`weightspace.act` would move it: ``act(...)[name][rows]``.

    Where an axis holds one block of a space and another axis says which, all rows are read.

    Args:
        element: One element, not a batch.
        spec: The symmetry.
        name: A parameter with at least one axis. It is read in a type in which it may be scaled.
    """
    axes = spec.axes[name]
    if any(part.over is not None for axis in axes for part in axis.parts):
        alone, every = SymmetrySpec(spec.spaces, ((name, axes),)), torch.arange(spec.shape(name)[0])
        return lambda rows, read: act(element, {name: read(every)}, alone)[name][rows.start : rows.stop]
    readings = [read_axis(element, spec, name, dim) for dim in range(len(axes))]

    def moved(rows: range, read: Read) -> Tensor:
        here = slice(rows.start, rows.stop)
        value = read(readings[0].source[here])
        for dim, reading in enumerate(readings):
            value = value.index_select(dim, reading.source) if dim else value
            if reading.scale is not None:
                shape = [1] * value.ndim
                shape[dim] = -1
                scale = (reading.scale if dim else reading.scale[here]).view(shape)
                value = scaled(value, scale, name, reading.offset)
        return value

    return moved
