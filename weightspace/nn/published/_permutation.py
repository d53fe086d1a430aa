"""One round of the gauge-free baseline (a plain graph metanetwork): permutations only, MLPs everywhere.

Source: arXiv:2406.10685, the GMN baseline of its tables.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...spec import ScaleName
from .._edges import affine
from ._chain import Chain
from ._cone import Needed, receivers
from ._parts import mlp
from ._presets import Preset
from ._rounds import SENDERS, directions
from ._state import ChainState, Edges


@final
class PlainMessage(nn.Module):
    """Sums over the senders of an MLP of (edge, sender)."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.mlp = mlp(preset, 2 * preset.width)

    def forward(self, senders: Float[Tensor, "b s c"], e: Edges, dim: int) -> Float[Tensor, "b v c"]:
        return self.mlp.total(e, dim, senders.unsqueeze(3 - dim))


@final
class PlainEdgeUpdate(nn.Module):
    """``MLP(edge, sender, receiver)``."""

    def __init__(self, preset: Preset, out: int | None) -> None:
        super().__init__()
        self.mlp = mlp(preset, 3 * preset.width, out)

    def forward(
        self, e: Edges, sender: Float[Tensor, "b n c"], receiver: Float[Tensor, "b m c"]
    ) -> Float[Tensor, "b m n c"]:
        of_edge, of_sender, of_receiver = self.mlp.first.weight.chunk(3, 1)
        ends = nn.functional.linear(sender, of_sender, self.mlp.first.bias).unsqueeze(1)
        ends = ends + nn.functional.linear(receiver, of_receiver).unsqueeze(2)
        return self.mlp.second(self.mlp.hidden(affine(e, of_edge, ends)))


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
        nodes: list[Tensor | None] = [None] * len(self.chain.sizes)
        layers = sorted(needed.nodes)
        joined = torch.cat([self._read(layer, state) for layer in layers], 1)
        new = self.update(joined)
        if self.skip is not None:
            new = new + self.skip(joined[..., : self.skip.in_features])
        new = self.dropout(new).split([self.chain.sizes[i] for i in layers], 1)
        for layer, value in zip(layers, new, strict=True):
            nodes[layer] = value
        edges = dict(state.edges)
        for name, update in self.edge_updates.items():
            old = state.edges[name]
            edges[name] = [
                update(e, state.nodes[i], state.nodes[i + 1]) if i in needed.edges[name] else None
                for i, e in enumerate(old)
            ]
        return ChainState(nodes, edges)

    def _read(self, layer: int, state: ChainState) -> Tensor:
        own = state.nodes[layer]
        assert own is not None
        parts = [own]
        for name, message in self.messages.items():
            weight = receivers(name, layer, len(self.chain.sizes))
            sender = layer - 1 if name == "ahead" else layer + 1
            got = (
                torch.zeros_like(own)
                if weight is None
                else message(state.nodes[sender], state.edges[name][weight], SENDERS[name])
            )
            parts.append(got)
        return torch.cat(parts, -1)
