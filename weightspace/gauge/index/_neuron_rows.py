"""The entries that carry each neuron of a space, where labels hold its neurons in order."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from ...spec import Axis, SymmetrySpec


def neuron_rows(params: Mapping[str, Tensor], spec: SymmetrySpec, name: str) -> list[Float[Tensor, "n _k"]]:
    """By parameter axis that runs over the neurons of a space, in order: its entries, one row for each neuron."""
    rows, size = [], spec.space[name].size
    for key, axes in spec.params:
        for dim, axis in enumerate(axes):
            start = 0
            for part in axis.parts:
                stop = start + spec.length(part)
                if part.space is not None and spec.root(part.space) == name and _is_in_order(part):
                    entries = params[key].narrow(dim, start, stop - start).unflatten(dim, (size, part.repeat))
                    rows.append(entries.movedim(dim, 0).flatten(1).to(torch.float64))
                start = stop
    return rows


def _is_in_order(part: Axis) -> bool:
    return part.times == 1 and part.over is None and part.index is None
