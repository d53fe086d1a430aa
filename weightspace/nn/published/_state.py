"""First states of the published models: projected biases and kernels, marked by learned positions."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .._edges import Kernels, Outer, dense
from ._chain import Chain
from ._parts import End, positions
from ._presets import Preset
from ._rows import Block, outer

Edges = Tensor | Outer | Kernels
"""Edge vectors as rows, written out or not."""
SENDERS = {"ahead": 2, "back": 1}
"""Axis of an edge tensor ``[b, m, n, c]`` over which the senders of a direction run."""


@final
@dataclass(frozen=True, eq=False)
class Segment:
    """Edge states of some weights whose receivers are of one kind.

    Attributes:
        weights: By number; their rows lie one below another in this order.
        block: How.
        value: Rows, written out or not.
        end: Whether the receivers are inputs or outputs; ``None`` for hidden vertices.
    """

    weights: tuple[int, ...]
    block: Block
    value: Edges
    end: End | None

    def kernels(self) -> list[Tensor]:
        """The states of every weight, ``[b, m, n, k]``, once they are written out."""
        assert isinstance(self.value, Tensor)
        return self.block.split(self.value)

    def pick(self, wanted: Set[int]) -> "Segment | None":
        """The same for some of its weights; ``None`` if there are none."""
        places = [place for place, weight in enumerate(self.weights) if weight in wanted]
        if len(places) in (0, len(self.weights)):
            return self if places else None
        block = replace(self.block, shapes=tuple(self.block.shapes[place] for place in places))
        return Segment(tuple(self.weights[place] for place in places), block, self._picked(places, block), self.end)

    def _picked(self, places: list[int], block: Block) -> Edges:
        def rows(x: Tensor) -> Tensor:
            parts = x.split(self.block.sizes, 1)
            return torch.cat([parts[place] for place in places], 1)

        if isinstance(self.value, Outer):
            vector = self.value.vector
            if vector.shape[1] > 1:
                vector = torch.cat([vector.split(self.block.senders, 1)[place] for place in places], 1)
            return outer(rows(self.value.number), vector, block)
        if isinstance(self.value, Kernels):
            return replace(self.value, kernel=rows(self.value.kernel))
        return rows(self.value)


@final
@dataclass(frozen=True, eq=False)
class ChainState:
    """Features of ``b`` networks between rounds.

    Attributes:
        nodes: Per layer ``[b, n, c]``; ``None`` where no later step reads them.
        edges: Per direction of messages, those that some later step reads.
    """

    nodes: list[Tensor | None]
    edges: dict[str, list[Segment]]

    def of(self, layers: Iterable[int]) -> Float[Tensor, "b n c"]:
        """The vertices of some layers, one layer after another."""
        return torch.cat([self.nodes[layer] for layer in layers], 1)  # pyright: ignore[reportArgumentType, reportCallIssue]


@final
class Positions(nn.Module):
    """Learned vectors by type: every input and every output has its own, a hidden layer one for all its neurons."""

    def __init__(self, chain: Chain, width: int) -> None:
        super().__init__()
        self.sizes = [chain.sizes[0], *[1] * len(chain.hidden), chain.sizes[-1]]
        self.table = positions(sum(self.sizes), width)

    def forward(self) -> list[Tensor]:
        """Per layer ``[n, c]``, or ``[1, c]`` on hidden layers."""
        return list(self.table.split(self.sizes))


@final
class EdgePositions(nn.Module):
    """Learned vectors by type: the first weight's by input, the last weight's by output, one for any other weight.

    Source: arXiv:2406.10685; the released code mixes the types of the last layer up where it has several outputs.
    """

    def __init__(self, chain: Chain, width: int) -> None:
        super().__init__()
        self.sizes = [chain.sizes[0], *[1] * (len(chain.weights) - 2), chain.sizes[-1]]
        self.table = positions(sum(self.sizes), width)

    def forward(self) -> list[Tensor]:
        """Per weight ``[m, n, c]``, with size 1 along an axis that does not matter."""
        first, *middle, last = self.table.split(self.sizes)
        return [first.unsqueeze(0), *(one.unsqueeze(0) for one in middle), last.unsqueeze(1)]


@final
class Embed(nn.Module):
    """States of round 0."""

    def __init__(self, preset: Preset, chain: Chain) -> None:
        super().__init__()
        self.chain = chain
        self.input_feature = preset.input_feature
        self.added = preset.group == "permutation"
        self.added_at_ends = self.added or preset.io_positions == "sum"
        self.vertex = nn.Linear(1, preset.width, bias=False)
        self.edge = nn.Linear(chain.kernel, preset.width, bias=False)
        self.positions = Positions(chain, preset.width)
        self.edge_positions = EdgePositions(chain, preset.width) if preset.edge_positions else None

    def nodes_of(self, biases: list[Tensor | None], like: Tensor) -> list[Tensor | None]:
        """Biases ``[b, n, 1]`` as features; a constant where there are none, with the type of ``like`` ``[b, ...]``."""
        nodes: list[Tensor | None] = []
        for layer, (bias, position) in enumerate(zip(biases, self.positions(), strict=True)):
            if bias is None:
                filler = self.input_feature if layer == 0 else 0.0
                bias = like.new_full((len(like), self.chain.sizes[layer], 1), filler)
            added = self.added if layer in self.chain.hidden else self.added_at_ends
            nodes.append(self.vertex(bias) + position if added else self.vertex(bias) * position)
        return nodes

    def edges_of(self, kernels: list[Tensor], direction: str) -> list[Segment]:
        """Kernels ``[b, m, n, k]`` as features, as messages of a direction read them."""
        last = len(kernels) - 1
        if self.added:
            kinds: list[tuple[tuple[int, ...], End | None]] = [(tuple(range(last + 1)), None)]
        elif direction == "ahead":
            kinds = [(tuple(range(last)), None), ((last,), "output")]
        else:
            kinds = [((0,), "input"), (tuple(range(1, last + 1)), None)]
        return [self._segment(weights, [kernels[w] for w in weights], direction, end) for weights, end in kinds]

    def _segment(self, weights: tuple[int, ...], kernels: list[Tensor], direction: str, end: End | None) -> Segment:
        shapes = tuple((kernel.shape[1], kernel.shape[2]) for kernel in kernels)
        block = Block(len(kernels[0]), shapes, SENDERS[direction])
        rows = torch.cat([kernel.flatten(1, 2) for kernel in kernels], 1)
        value: Edges = Kernels(rows, self.edge.weight)
        if rows.shape[2] == 1:
            value = outer(rows, self.edge.weight.view(1, 1, -1), block)
        if self.edge_positions is not None:
            value = self._marked(value, [self.edge_positions()[w] for w in weights], block)
        return Segment(weights, block, value, end)

    def _marked(self, value: Edges, marks: list[Tensor], block: Block) -> Edges:
        by_sender = all(mark.shape[2 - block.dim] == 1 for mark in marks) and not self.added
        if by_sender and isinstance(value, Outer):
            sizes = zip(marks, block.senders, strict=True)
            vectors = [mark.squeeze(2 - block.dim).expand(size, -1) for mark, size in sizes]
            return outer(value.number, value.vector * torch.cat(vectors).unsqueeze(0), block)
        rows = dense(value) if isinstance(value, Outer) else F.linear(value.kernel, value.matrix)  # pyright: ignore[reportAttributeAccessIssue]
        each = zip(marks, block.shapes, strict=True)
        spread = [mark.expand(*shape, -1).flatten(0, 1) for mark, shape in each]
        return rows + torch.cat(spread) if self.added else rows * torch.cat(spread)
