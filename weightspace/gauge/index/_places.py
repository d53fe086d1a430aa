"""Permutations as places: which free spaces decide where a neuron stands, and permutations made from numbers."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...spec import NeuronSpace, SymmetrySpec


def has_own_order(space: NeuronSpace) -> bool:
    """Whether the space is permuted by more than the spaces that it names."""
    return not (space.fixed or space.like or space.ordered or space.along)


def places(spec: SymmetrySpec, name: str, neuron: Int[Tensor, "..."]) -> tuple[dict[str, Tensor], Tensor]:
    """The neurons of spaces with an order of their own that say where each neuron of ``name`` stands.

    Returns:
        Neurons by space, and a number for the rest of the place, which nothing moves.
    """
    space = spec.space[spec.root(name)]
    if space.fixed or (space.ordered and space.within is None):
        return {}, neuron
    if space.within is None:
        return {space.name: neuron}, torch.zeros_like(neuron)
    num = spec.space[space.within].size
    size = space.size // num
    block, inside = neuron // size, neuron % size
    found, fixed = places(spec, space.within, block)
    if space.along is not None:
        there, rest = places(spec, space.along, _along(spec, space, space.along, block, inside))
        return {**there, **found}, fixed * spec.space[space.along].size + rest
    if space.ordered:
        return found, fixed * size + inside
    return {**found, space.name: neuron}, fixed


def arrange(spec: SymmetrySpec, keys: Mapping[str, Float[Tensor, "b _n"]], num: int) -> dict[str, Int[Tensor, "b _n"]]:
    """The permutation that sorts every space by its keys, the blocks inside one another alike."""
    perm: dict[str, Tensor] = {}
    for space in spec.free:
        if space.like is not None:
            perm[space.name] = perm.get(space.like, torch.arange(space.size).expand(num, -1))
            continue
        blocks = 1 if space.within is None else spec.space[space.within].size
        size = space.size // blocks
        around = perm.get(space.within or "", torch.arange(blocks).expand(num, blocks))
        block = around.unsqueeze(-1)
        if space.along is not None:
            other = spec.space[space.along].size
            along = perm.get(space.along, torch.arange(other).expand(num, other))
            first = _along(spec, space, space.along, torch.arange(blocks).unsqueeze(-1), torch.arange(size))
            within = along[:, first.flatten()].view(num, blocks, size) % size
        elif space.ordered:
            within = torch.arange(size)
        else:
            own = keys[space.name].view(num, blocks, size).argsort(stable=True, dim=-1)
            within = own.gather(1, block.expand_as(own))
        perm[space.name] = (block * size + within).flatten(1)
    return perm


def _along(spec: SymmetrySpec, space: NeuronSpace, guide: str, block: Tensor, inside: Tensor) -> Tensor:
    """The neuron of ``guide`` that says the place of neuron ``inside`` of ``block``."""
    assert space.within is not None, "checked by the spec"
    size = space.size // spec.space[space.within].size
    return block // (space.size // spec.space[guide].size) * size + inside
