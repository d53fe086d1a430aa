"""Merging network files: the weighted mean of all, piece by piece, written like one of them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from ..._errors import SpecMismatch
from ...alignment import check_whole
from ...files.checkpoint import PIECE, Checkpoint, open_checkpoint, open_network
from ...files.formats import TORCH, size
from ...files.naming import Ties
from ...files.writer import Progress, write_like
from ...gauge import Element
from ...spec import SymmetrySpec
from .alignment import load_single, moved_pieces, rows_at_once
from .merge_recipe import MergeRecipe

_FIXED = 8 << 20
"""Bytes that the allocator and buffers take on top, as `benchmarks/streamed_merge.py` measures."""


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

    def step(self, name: str) -> int:
        """Entries of a piece of a tensor: whole rows where a network is moved."""
        shape = self.base.shapes[name]
        return rows_at_once(shape) * math.prod(shape[1:]) if any(self.moves) and shape else PIECE

    def pieces(self, place: int, name: str) -> Iterator[Tensor]:
        """A tensor of a network, moved by its element, in consecutive pieces: as long for all networks."""
        network, move = self.networks[place], self.moves[place]
        if move is not None:
            yield from moved_pieces(network, name, *move)
            return
        total, step = math.prod(network.shapes[name]), self.step(name)
        for start in range(0, total, step):
            yield network.entries(name, start, min(start + step, total))


def open_sources(recipe: MergeRecipe, spec: SymmetrySpec | None = None, ties: Ties = ()) -> Sources:
    """The networks of a recipe.

    Raises:
        ConfigError: if a file cannot be read.
        SpecMismatch: if the networks do not fit each other, the spec, or their elements.
    """
    moves = tuple(None if source.element is None else load_single(source.element) for source in recipe.models)
    networks = []
    for source, move in zip(recipe.models, moves, strict=True):
        own = spec if move is None else move[1]
        networks.append(open_checkpoint(source.model) if own is None else open_network(source.model, own, ties))
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

    A piece of one tensor is in memory at a time, in a number type of at least 32 bits, with that of one network beside
    it; torch files are in memory as a whole.

    Args:
        sources: The networks.
        weights: By network.
        out: See :func:`weightspace.files.checkpoint_writer.target`.
        progress: Called with tensors done, tensors in all, and a message.

    Raises:
        ConfigError: if a file cannot be read or written.
        SpecMismatch: if a number is not finite, or whole numbers differ; nothing is left of ``out``.
    """

    def mean(name: str) -> Iterator[Tensor]:
        if not sources.base.dtypes[name].is_floating_point:
            yield from _whole(sources, name)
            return
        types = [sources.dtypes[name], *(network.dtypes[name] for network in sources.networks)]
        wide = torch.float64 if torch.float64 in types else torch.float32
        first, *others = [sources.pieces(place, name) for place in range(len(weights))]
        for piece in first:
            total = piece.to(wide).reshape(-1) * weights[0]
            for weight, other in zip(weights[1:], others, strict=True):
                total.add_(next(other).to(wide).reshape(-1), alpha=weight)
            yield total

    write_like(sources.base, out, mean, sources.dtypes, progress=progress)


def _whole(sources: Sources, name: str) -> Iterator[Tensor]:
    """The whole numbers of the base, if they are the same in all networks or count something."""
    if not sources.base.shapes[name]:
        yield sources.base.read(name)
        return
    others = [sources.pieces(place, name) for place in range(len(sources.networks))]
    for pieces in zip(*others, strict=True):
        check_whole(name, [piece.reshape(-1) for piece in pieces])
        yield pieces[0]


def linear_bytes(sources: Sources, out: Path) -> int:
    """About the memory that :func:`merge_linear` takes, in bytes."""
    most = 0
    for name in sources.base.shapes:
        width = max(network.dtypes[name].itemsize for network in sources.networks)
        wide = max(width, sources.dtypes[name].itemsize, 4)
        longest = min(sources.step(name), math.prod(sources.base.shapes[name]))
        # What was read, the same in the wide type, the sum, and what is written; moving copies twice more.
        most = max(most, longest * (2 * width + wide * (4 if any(sources.moves) else 2)))
    held = sum(network.held_bytes for network in sources.networks)
    if out.suffix in TORCH:
        held += 2 * sum(size(shape, sources.dtypes[name]) for name, shape in sources.base.shapes.items())
    return most + held + _FIXED


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
