"""An order of the neurons of every space that no permutation changes: each gets a number from its weights.

The number of a neuron is a sum over its weights that does not depend on how the other neurons are listed: entries are
weighted by fixed random numbers where their place is fixed (inputs, outputs, kernels) and by a smooth function of the
other neurons' own numbers where it is not, and the numbers settle over a few rounds. Smooth all the way, so a small
change of the weights changes the order only of neurons whose numbers nearly agree.

Source: colour refinement (Weisfeiler and Leman 1968) with real numbers for colours; ours in this form.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from ...spec import SymmetrySpec
from ..index import Owners, arrange, has_own_order, owners, places

ROUNDS = 3
Keys = dict[str, Tensor]
"""A number ``[b, n]`` for every neuron of the spaces with an order of their own."""

_Owned = tuple[Owners, dict[str, Tensor], Tensor]
"""A label, the neurons that say the places of its entries, and a number for the rest of the place."""


@final
@dataclass(frozen=True, eq=False)
class _Label:
    """One label, on axis ``dim`` of a reduced parameter: the neurons that say the places, -1 outside the label."""

    dim: int
    neurons: dict[str, Int[Tensor, "..."]]


@final
@dataclass(frozen=True, eq=False)
class _Sheet:
    """A parameter summed over the axes that no permutation moves; a fixed factor for every entry of the others."""

    value: Float[Tensor, "..."]
    fixed: tuple[Float[Tensor, "..."], ...]
    labels: tuple[_Label, ...]


def sorted_neurons(
    params: Mapping[str, Tensor], spec: SymmetrySpec, tolerance: float
) -> tuple[dict[str, Int[Tensor, "b _n"]], dict[str, Bool[Tensor, "b _n"]]]:
    """The permutation that sorts every space, and the neurons (in their new places) whose order is not decided.

    Args:
        params: Stacked parameters (float64) in their canonical scales and signs.
        spec: Their symmetry.
        tolerance: Numbers of two neighbours this close, in units of the spread over the space, are a tie.
    """
    num = next(iter(params.values())).shape[0]
    keys = _keys(list(_sheets(params, spec)), spec, num)
    perm = arrange(spec, keys, num)
    ties: dict[str, Tensor] = {}
    for space in spec.free:
        ties[space.name] = torch.zeros((num, space.size), dtype=torch.bool)
        if space.like in ties:
            ties[space.name] = ties[space.like]
        if space.name in keys:
            blocks = 1 if space.within is None else spec.space[space.within].size
            order = keys[space.name].gather(-1, perm[space.name]).view(num, blocks, -1)
            close, end = order.diff(dim=-1) <= tolerance, torch.zeros((num, blocks, 1), dtype=torch.bool)
            ties[space.name] = (torch.cat([end, close], -1) | torch.cat([close, end], -1)).flatten(1)
    return perm, ties


def _keys(sheets: list[_Sheet], spec: SymmetrySpec, num: int) -> Keys:
    own = [space for space in spec.free if has_own_order(space)]
    keys = {space.name: torch.zeros((num, space.size), dtype=torch.float64) for space in own}
    for _ in range(ROUNDS):
        # The same random numbers in every round; drawn anew so that they do not depend on the batch.
        generator = Generator().manual_seed(1)
        total = {name: torch.zeros_like(key) for name, key in keys.items()}
        for sheet in sheets:
            for name, feature in _features(sheet, keys):
                total[name] += float(torch.randn((), generator=generator)) * feature
        for space in reversed(own):
            around = spec.root(space.within) if space.within else ""
            if around in total:  # what blocks hold tells their owners apart
                inside = keys[space.name].view(num, spec.space[around].size, -1)
                total[around] += 0.6 * inside.tanh().mean(-1) + 0.4 * inside.square().tanh().mean(-1)
        keys = {name: _standard(value) for name, value in total.items()}
    return keys


def _standard(value: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Mean 0 and deviation 1 over the neurons; rounding errors among equal neurons are not blown up."""
    value = value - value.mean(-1, keepdim=True)
    return value / value.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-3)


def _sheets(params: Mapping[str, Tensor], spec: SymmetrySpec) -> Iterator[_Sheet]:
    """The values and the magnitudes of every parameter that a permutation moves."""
    generator = Generator().manual_seed(0)
    for name in spec.axes:
        labels: list[_Owned] = []
        for owned in owners(spec, name):
            found, rest = places(spec, str(owned.part.space), owned.neuron.clamp_min(0))
            outside = owned.neuron < 0
            found = {space: torch.where(outside, -1, neuron) for space, neuron in found.items()}
            labels.append((owned, found, torch.where(outside, -1, rest)))
        labels = _joined(labels)
        free = [dim for dim in range(len(spec.axes[name])) if any(o.dim == dim and found for o, found, _ in labels)]
        # An axis on which the block on another axis depends is kept as well.
        kept = sorted({*free, *(dim for o, found, _ in labels if found for dim in o.dims)})
        if not kept:
            continue
        value = params[name]
        values = [value, value.abs()]
        fixed = []
        for dim, size in enumerate(spec.shape(name)):
            factor = _fixed_factors([(o, found, rest) for o, found, rest in labels if o.dim == dim], size, generator)
            if dim in kept:
                shape = [1] * len(kept)
                dims = next((o.dims for o, _, _ in labels if o.dim == dim), (dim,))
                for at, length in zip(dims if factor.dim() > 1 else (dim,), factor.shape, strict=True):
                    shape[kept.index(at)] = length
                fixed.append(factor.reshape(shape))
            else:
                shape = [1] * value.dim()
                shape[dim + 1] = size
                values = [v * factor.reshape(shape) for v in values]
        away = [dim + 1 for dim in range(value.dim() - 1) if dim not in kept]
        placed = []
        for owned, found, _ in labels:
            if found:
                shape = [1] * len(kept)
                for at, length in zip(owned.dims, owned.neuron.shape, strict=True):
                    shape[kept.index(at)] = length
                neurons = {space: neuron.reshape(shape) for space, neuron in found.items()}
                placed.append(_Label(kept.index(owned.dim), neurons))
        for v in values:
            yield _Sheet(v.sum(away) if away else v, tuple(fixed), tuple(placed))


def _fixed_factors(labels: list[_Owned], size: int, generator: Generator) -> Float[Tensor, "..."]:
    """A factor in [0.5, 1.5] for every entry of an axis, the same for entries that a permutation may exchange."""
    wide = next((o.neuron.shape for o, _, _ in labels if len(o.dims) > 1), (size,))
    kind = torch.arange(math.prod(wide)).reshape(wide)  # entries of no space: by their place
    for place, (owned, found, rest) in enumerate(labels):
        if not found:
            continue
        # On an axis of one block a neuron has one entry per neuron of the other axis, and those have no order.
        rank = torch.zeros(wide, dtype=torch.long)
        if len(wide) == 1:
            rank = _rank(torch.stack(list(found.values()), -1))
        inside = owned.neuron >= 0
        kind = torch.where(inside, -1 - ((rest * (size + 1) + rank) * (len(labels) + 1) + place), kind)
    distinct, which = kind.unique(return_inverse=True)
    return (0.5 + torch.rand(len(distinct), generator=generator, dtype=torch.float64))[which]


def _joined(labels: list[_Owned]) -> list[_Owned]:
    """The labels, with the parts of one axis between which a permutation moves entries taken as one."""
    joined: dict[tuple[object, ...], _Owned] = {}
    for owned, found, rest in labels:
        key = (owned.dims, owned.dim, *found) if found else (id(owned),)
        if key in joined:
            first, its, remains = joined[key]
            owned = replace(first, neuron=torch.maximum(first.neuron, owned.neuron))
            found = {name: torch.maximum(its[name], neuron) for name, neuron in found.items()}
            rest = torch.maximum(remains, rest)
        joined[key] = (owned, found, rest)
    return list(joined.values())


def _rank(owner: Int[Tensor, "n c"]) -> Int[Tensor, " n"]:
    """How many entries before each one have its owner."""
    _, which = owner.unique(dim=0, return_inverse=True)
    order = which.argsort(stable=True)
    count = torch.bincount(which)
    rank = torch.empty_like(which)
    rank[order] = torch.arange(len(which)) - (count.cumsum(0) - count)[which[order]]
    return rank


def _features(sheet: _Sheet, keys: Keys) -> Iterator[tuple[str, Tensor]]:
    """For every label and space of it the sum over a neuron's entries, in units of the size of the entries."""
    factors = [_bent(label, keys) for label in sheet.labels]
    most = sheet.value.flatten(1).abs().amax(-1, keepdim=True)
    most = most.where(most > 0, 1.0)
    rms = (sheet.value.flatten(1) / most).square().mean(-1).sqrt() * most.squeeze(-1)  # huge values have no squares
    scale = torch.where(rms > 0, 1 / rms.where(rms > 0, 1.0), 0.0).view(-1, *[1] * (sheet.value.dim() - 1))
    for label in sheet.labels:
        total = sheet.value * scale
        for factor in sheet.fixed:
            total = total * factor
        for other, factor in zip(sheet.labels, factors, strict=True):
            total = total * factor if other.dim != label.dim else total
        for name, neuron in label.neurons.items():
            away = [dim + 1 for dim, size in enumerate(neuron.shape) if size == 1]
            column = total.sum(away, keepdim=True) if away else total
            owner = torch.where(neuron < 0, keys[name].shape[-1], neuron).flatten()
            sums = keys[name].new_zeros(len(column), keys[name].shape[-1] + 1)
            sums.index_add_(1, owner, column.flatten(1))
            yield name, sums[:, :-1] / (total[0].numel() / keys[name].shape[-1]) ** 0.5


def _bent(label: _Label, keys: Keys) -> Tensor:
    """The factor of the entries on a label's axis that says which neurons they belong to."""
    total = torch.zeros((), dtype=torch.float64)
    for share, (name, neuron) in zip((1.0, 0.7, 0.5, 0.3), label.neurons.items(), strict=False):
        padded = torch.cat([keys[name], keys[name].new_zeros(len(keys[name]), 1)], -1)
        total = total + share * padded[:, neuron]
    return 1 + 0.7 * total.tanh()
