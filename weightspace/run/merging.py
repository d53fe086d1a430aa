"""Merging network files: the weighted mean of all, tensor by tensor, written like one of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from .._errors import SpecMismatch
from ..gauge import Element
from ..spec import SymmetrySpec
from .alignment import load_single, moved
from .checkpoint import PIECE, Checkpoint, open_checkpoint, open_network
from .checkpoint_writer import Progress, write_like
from .merge_recipe import MergeRecipe

Read = Callable[[str], Tensor]


@final
@dataclass(frozen=True, eq=False)
class Sources:
    """The networks of a recipe, opened and compared; nothing but headers is read.

    Attributes:
        networks: By network.
        moves: By network the element that moves it and its spec, if it has one.
        base: The network that the result is written like.
        dtypes: Number types of the result, by name.
    """

    networks: tuple[Checkpoint, ...]
    moves: tuple[tuple[Element, SymmetrySpec] | None, ...]
    base: Checkpoint
    dtypes: dict[str, torch.dtype]

    def read(self, place: int, name: str) -> Tensor:
        """One tensor of one network, moved by its element."""
        network, move = self.networks[place], self.moves[place]
        return network.read(name) if move is None else moved(network, name, *move)


def open_sources(recipe: MergeRecipe, spec: SymmetrySpec | None = None) -> Sources:
    """The networks of a recipe.

    Raises:
        ConfigError: if a file cannot be read.
        SpecMismatch: if the networks do not fit each other, the spec, or their elements.
    """
    moves = tuple(None if source.element is None else load_single(source.element) for source in recipe.models)
    networks = []
    for source, move in zip(recipe.models, moves, strict=True):
        own = spec if move is None else move[1]
        networks.append(open_checkpoint(source.model) if own is None else open_network(source.model, own))
    base = networks[recipe.base]
    for network in networks:
        _compare(base, network)
    chosen = None if recipe.dtype is None else getattr(torch, recipe.dtype)
    dtypes = {
        name: chosen if chosen is not None and dtype.is_floating_point else dtype for name, dtype in base.dtypes.items()
    }
    return Sources(tuple(networks), moves, base, dtypes)


def merge_linear(sources: Sources, weights: Sequence[float], out: Path, progress: Progress | None = None) -> None:
    """Write the weighted mean of the networks, each moved by its element; counters are the base's.

    One tensor is in memory at a time, in a number type of at least 32 bits, with one of the networks' beside it.

    Args:
        sources: The networks.
        weights: By network.
        out: See :func:`weightspace.run.checkpoint_writer.target`.
        progress: Called with tensors done, tensors in all, and a message.

    Raises:
        ConfigError: if a file cannot be read or written.
        SpecMismatch: if a number is not finite; nothing is left of ``out``.
    """

    def mean(name: str) -> Tensor:
        if not sources.base.dtypes[name].is_floating_point:
            return sources.base.read(name)
        types = [sources.dtypes[name], *(network.dtypes[name] for network in sources.networks)]
        wide = torch.float64 if torch.float64 in types else torch.float32
        total = torch.zeros(sources.base.shapes[name], dtype=wide)
        for place, weight in enumerate(weights):
            _add(total, sources.read(place, name), weight)
        return total

    write_like(sources.base, out, mean, sources.dtypes, progress=progress)


def _add(total: Tensor, value: Tensor, weight: float) -> None:
    """Add in place; a function of its own, so that no value outlives its turn."""
    for here, there in zip(total.view(-1).split(PIECE), value.reshape(-1).split(PIECE), strict=True):
        here.add_(there, alpha=weight)


def linear_bytes(sources: Sources) -> int:
    """About the memory that :func:`merge_linear` takes, in bytes."""
    most = 0
    for name, shape in sources.base.shapes.items():
        width = max(network.dtypes[name].itemsize for network in sources.networks)
        wide = max(width, sources.dtypes[name].itemsize, 4)
        copies = 3 if any(sources.moves) else 1
        most = max(most, math.prod(shape) * (wide + copies * width))
    return most


def _compare(base: Checkpoint, network: Checkpoint) -> None:
    for name in [*base.shapes, *network.shapes]:
        if name not in network.shapes or name not in base.shapes:
            lacks, has = (network, base) if name not in network.shapes else (base, network)
            raise SpecMismatch(
                f"{lacks.path} lacks parameter {name!r} of {has.path}. Merge networks of one architecture."
            )
        if network.shapes[name] != base.shapes[name]:
            raise SpecMismatch(
                f"parameter {name!r} has shape {list(network.shapes[name])} in {network.path} and "
                f"{list(base.shapes[name])} in {base.path}. Merge networks of one architecture, with the same classes."
            )
        if network.dtypes[name].is_floating_point != base.dtypes[name].is_floating_point:
            raise SpecMismatch(
                f"parameter {name!r} is {network.dtypes[name]} in {network.path} and {base.dtypes[name]} in "
                f"{base.path}. Convert one of the two."
            )
