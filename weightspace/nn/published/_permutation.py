"""One round of the gauge-free baseline (a plain graph metanetwork): permutations only, MLPs everywhere.

Source: arXiv:2406.10685, the GMN baseline of its tables.
"""

from dataclasses import replace
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...spec import ScaleName
from .._edges import affine
from ._chain import Chain
from ._cone import Needed, receivers
from ._parts import mlp, total_hidden
from ._presets import Preset
from ._rounds import directions, receiver_of, sender_of
from ._rows import of_ends
from ._state import ChainState, Segment


@final
class PlainMessage(nn.Module):
    """Sums over the senders of an MLP of (edge, sender)."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.mlp = mlp(preset, 2 * preset.width)

    def forward(self, senders: Float[Tensor, "b s c"], segment: Segment) -> Float[Tensor, "b v c"]:
        weight, seen = self.mlp.reader(senders)
        hidden = self.mlp.hidden(affine(segment.value, weight, of_ends(seen, None, segment.block)))
        return total_hidden(self.mlp, hidden, segment.block)


@final
class PlainEdgeUpdate(nn.Module):
    """``MLP(edge, sender, receiver)``."""

    def __init__(self, preset: Preset, out: int | None) -> None:
        super().__init__()
        self.mlp = mlp(preset, 3 * preset.width, out)

    def forward(self, segment: Segment, sender: Float[Tensor, "b s c"], receiver: Float[Tensor, "b r c"]) -> Segment:
        of_edge, of_sender, of_receiver = self.mlp.first.weight.chunk(3, 1)
        seen = F.linear(sender, of_sender, self.mlp.first.bias)
        ends = of_ends(seen, F.linear(receiver, of_receiver), segment.block)
        return replace(segment, value=self.mlp.last(self.mlp.hidden(affine(segment.value, of_edge, ends))))


@final
class PlainRound(nn.Module):
    """Messages, vertex update and edge update of the baseline; same arguments as the scale-equivariant round."""

    def __init__(
        self,
        preset: Preset,
        chain: Chain,
        *,
        update_edges: bool = True,
        node_out: int | None = None,
        edge_out: int | None = None,
        skip: bool = False,
    ) -> None:
        super().__init__()
        self.chain = chain
        self.messages = nn.ModuleDict({name: PlainMessage(preset) for name in directions(preset)})
        self.update = mlp(preset, (1 + len(self.messages)) * preset.width, node_out)
        self.edge_updates = nn.ModuleDict({"ahead": PlainEdgeUpdate(preset, edge_out)} if update_edges else {})
        self.skip = nn.Linear(preset.width, preset.width, bias=False) if skip else None
        self.dropout = nn.Dropout(preset.dropout if node_out is None else 0.0)

    def forward(self, state: ChainState, needed: Needed, _: ScaleName, __: list[Tensor] | None) -> ChainState:
        layers = sorted(needed.nodes)
        sizes = [self.chain.sizes[i] for i in layers]
        own = state.of(layers)
        new = self.update(torch.cat([own, *self._arrived(state, layers)], -1))
        if self.skip is not None:
            new = new + self.skip(own)
        nodes: list[Tensor | None] = [None] * len(self.chain.sizes)
        for layer, value in zip(layers, self.dropout(new).split(sizes, 1), strict=True):
            nodes[layer] = value
        edges = {name: self._edges(name, state, needed) for name in state.edges}
        return ChainState(nodes, edges)

    def _arrived(self, state: ChainState, layers: list[int]) -> list[Tensor]:
        """Per direction, what arrives at the layers."""
        result = []
        for name, message in self.messages.items():
            read = {layer: receivers(name, layer, len(self.chain.sizes)) for layer in layers}
            segment = state.edges[name][0].pick({weight for weight in read.values() if weight is not None})
            got: dict[int, Tensor] = {}
            if segment is not None:
                sums = message(state.of(sender_of(name, w) for w in segment.weights), segment)
                each = zip(segment.weights, sums.split(segment.block.receivers, 1), strict=True)
                got = {receiver_of(name, w): x for w, x in each}
            result.append(torch.cat([got[i] if i in got else torch.zeros_like(state.of([i])) for i in layers], 1))
        return result

    def _edges(self, name: str, state: ChainState, needed: Needed) -> list[Segment]:
        if name not in self.edge_updates:
            return state.edges[name]
        segment = state.edges[name][0].pick(needed.edges.get(name, frozenset()))
        if segment is None:
            return []
        senders = state.of(sender_of(name, w) for w in segment.weights)
        return [self.edge_updates[name](segment, senders, state.of(receiver_of(name, w) for w in segment.weights))]
