"""How an element moves one parameter axis whose label is more than a space, a power and a repeat."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .._errors import SpecError
from ..spec import Axis, SymmetrySpec
from ._element import Element


@final
@dataclass(frozen=True, eq=False)
class Reading:
    """Where the entries of an axis come from and what multiplies them.

    Attributes:
        source: Entry that moves to each place; for each place of the axis ``other`` as well, where that is not
            ``None``.
        scale: Factor at each place, or ``None``.
        offset: See :class:`weightspace.spec.Axis`.
        other: The axis that says which block is read.
    """

    source: Int[Tensor, "*b _n"]
    scale: Float[Tensor, "*_scales _n"] | None
    offset: float = 0.0
    other: int | None = None


def read_axis(element: Element, spec: SymmetrySpec, name: str, dim: int) -> Reading:
    """How ``element`` moves axis ``dim`` of the named parameter.

    Raises:
        SpecError: if the axis reads one block of a space and no other axis says which.
    """
    parts = spec.axes[name][dim].parts
    if any(part.over is not None for part in parts):
        return _read_block(element, spec, name, dim)
    entries = _entries(spec, parts)
    starts = [sum(len(owned) for owned in entries[:k]) for k in range(len(parts))]
    sources = [torch.arange(start, start + len(owned)) for start, owned in zip(starts, entries, strict=True)]
    for root in dict.fromkeys(spec.root(part.space) for part in parts if part.space is not None):
        # The neurons of one space may be spread over several parts.
        mine = [k for k, part in enumerate(parts) if part.space is not None and spec.root(part.space) == root]
        if root in element.perm:
            owned, places = torch.cat([entries[k] for k in mine]), torch.cat([sources[k] for k in mine])
            moved = places[_source(element.perm[root], owned)]
            for k, piece in zip(mine, moved.split([len(entries[k]) for k in mine], -1), strict=True):
                sources[k] = piece
    scales = [
        torch.ones(len(owned), dtype=torch.float64) if part.space is None else factor(element, spec, part, owned)
        for part, owned in zip(parts, entries, strict=True)
    ]
    lead = np.broadcast_shapes(*(source.shape[:-1] for source in sources))
    source = torch.cat([source.expand(*lead, -1) for source in sources], -1)
    lead = np.broadcast_shapes(*(scale.shape[:-1] for scale in scales))
    scale = torch.cat([scale.expand(*lead, -1) for scale in scales], -1)
    return Reading(source, None if bool((scale == 1).all()) else scale, max(part.offset for part in parts))


def _entries(spec: SymmetrySpec, parts: tuple[Axis, ...]) -> list[Tensor]:
    """For every part the neuron of each entry."""
    owned = []
    for part in parts:
        if part.space is None or part.index is not None:
            owned.append(torch.tensor(part.index or range(spec.length(part))))
        else:
            each = torch.arange(spec.space[part.space].size).repeat_interleave(part.repeat)
            owned.append(each.repeat(part.times))
    return owned


def _source(perm: Tensor, owned: Tensor) -> Tensor:
    """Where each entry comes from: the r-th entry of a neuron from the r-th one of the neuron it was."""
    order = torch.argsort(owned, stable=True)
    counts = torch.bincount(owned, minlength=perm.shape[-1])
    rank = torch.empty_like(owned)
    rank[order] = torch.arange(len(owned)) - (counts.cumsum(0) - counts)[owned[order]]
    places = torch.zeros((perm.shape[-1], int(counts.max())), dtype=torch.long)  # [neuron, r]
    places[owned, rank] = torch.arange(len(owned))
    return places[perm[..., owned], rank]


def factor(element: Element, spec: SymmetrySpec, part: Axis, owned: Int[Tensor, " _n"]) -> Float[Tensor, "*b _n"]:
    """What multiplies entries whose neurons are ``owned``, by all scales of the label."""
    assert part.space is not None, "only entries of a space are scaled"
    total = torch.ones(len(owned), dtype=torch.float64)
    size = spec.space[part.space].size
    powers = [(part.space, part.power, "all"), *((scale.space, scale.power, scale.part) for scale in part.scales)]
    for name, power, which in powers:
        if name not in element.scale or power == 0:
            continue
        scale = element.scale[name]
        scale = {"all": scale, "sign": scale.sign(), "size": scale.abs()}[which] ** power
        # One scale for every neuron, for every block, or for all.
        total = total * scale[..., owned // (size // scale.shape[-1])]
    return total


def _read_block(element: Element, spec: SymmetrySpec, name: str, dim: int) -> Reading:
    """An axis that holds one block of a space: the block that the parameter's other axis names."""
    axis = spec.axes[name][dim]
    if not isinstance(axis, Axis) or axis.space is None or axis.over is None:
        raise SpecError(f"parameter {name!r} joins a block of a space with others on one axis. Pin its spaces.")
    over = spec.root(axis.over)
    for other, label in enumerate(spec.axes[name]):
        if other == dim or not isinstance(label, Axis) or label.space is None or label.over is not None:
            continue
        if over in spec.ancestors(label.space):
            break
    else:
        raise SpecError(
            f"parameter {name!r} reads one block of {axis.space!r}, and no other axis of it says which. "
            f"Give another axis the space {axis.over!r}, or one within it."
        )
    num, size = spec.space[over].size, spec.space[axis.space].size
    (owned,) = _entries(spec, (label,))
    block = owned // (spec.space[label.space].size // num)  # of each entry of the other axis, after it has moved
    inner = size // num
    neurons = (block[:, None] * inner + torch.arange(inner)).flatten()
    if axis.space in element.perm:
        source = element.perm[axis.space][..., neurons] % inner
        scale = factor(element, spec, axis, neurons)
    else:
        source, scale = neurons % inner, torch.ones(len(neurons), dtype=torch.float64)
    shape = (len(block), inner)
    return Reading(source.unflatten(-1, shape), scale.unflatten(-1, shape), other=other)
