"""First states of the published models: projected biases and kernels, marked by learned positions."""

from dataclasses import dataclass
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from .._edges import Kernels, Outer
from ._chain import Chain
from ._parts import positions
from ._presets import Preset

Edges = Tensor | Outer | Kernels


@final
@dataclass(frozen=True, eq=False)
class ChainState:
    """Features of ``b`` networks between rounds.

    Attributes:
        nodes: Per layer ``[b, n, c]``; ``None`` where no later step reads them.
        edges: Per direction and weight ``[b, m, n, c]``; ``None`` where no later step reads them.
    """

    nodes: list[Tensor | None]
    edges: dict[str, list[Edges | None]]


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

    def edges_of(self, kernels: list[Tensor]) -> list[Edges | None]:
        """Kernels ``[b, m, n, k]`` as features; not written out where rounds can do without."""
        matrix = self.edge.weight
        if self.edge_positions is None:
            return [_edges(kernel, matrix) for kernel in kernels]
        marks = self.edge_positions()
        if self.added:
            return [F.linear(k, matrix) + mark for k, mark in zip(kernels, marks, strict=True)]
        return [_marked(kernel, matrix, mark) for kernel, mark in zip(kernels, marks, strict=True)]


def _edges(kernel: Tensor, matrix: Tensor) -> Outer | Kernels:
    if kernel.shape[-1] == 1:
        return Outer(kernel, matrix.view(1, 1, 1, -1))
    return Kernels(kernel, matrix)


def _marked(kernel: Tensor, matrix: Tensor, mark: Tensor) -> Edges:
    if kernel.shape[-1] == 1:
        return Outer(kernel, matrix.view(1, 1, 1, -1) * mark)
    return F.linear(kernel, matrix) * mark
