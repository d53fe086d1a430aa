"""One published round: messages, vertex update, edge update, for scale-equivariant models.

Messages go ahead along the weights and, in bidirectional models, back. The products that the published formulation
repeats on every edge are taken where they belong: those of a vertex once per vertex, the second matrix of an MLP
after the sum over senders, a map on inputs and outputs only there, and nothing that no later step reads.

Source: arXiv:2406.10685, section 5.
"""

from dataclasses import replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...spec import ScaleName
from .._edges import Outer, dense, linear
from .._equivariant import Mlp, ReScaleEq
from .._invariant import Absolute
from . import _fused
from ._chain import Chain
from ._cone import Needed, receivers
from ._parts import End, VertexMap, mlp, scale_invariants
from ._presets import Preset
from ._rows import of_ends
from ._state import ChainState, Segment


def directions(preset: Preset) -> list[str]:
    """The directions of messages."""
    return ["ahead", "back"] if preset.direction == "bidirectional" else ["ahead"]


def evolving(preset: Preset) -> dict[str, bool]:
    """Per direction, whether its edge states change: backward ones do for positive scales only, as published."""
    return {name: name == "ahead" or preset.group == "positive" for name in directions(preset)}


@final
class Message(nn.Module):
    """Sums over the senders of maps of (Lin sender) x (Lin edge)."""

    def __init__(self, preset: Preset, context: int) -> None:
        super().__init__()
        self.join = ReScaleEq(preset.width)
        self.map = VertexMap(preset, preset.width, context=context)

    def forward(
        self, senders: Float[Tensor, "b s c"], segment: Segment, group: ScaleName, position: Tensor | None
    ) -> Float[Tensor, "b v c"]:
        block, x = segment.block, self.join.node(senders)
        if segment.end is None and position is None and isinstance(self.map.gates[group].invariant, Absolute):
            own: Mlp = self.map.gates[group].mlp  # pyright: ignore[reportAssignmentType]
            if _fused.applies(own, x):
                return _fused.message(segment.value, self.join.edge.weight, x, self.map.linear.weight, own, block)
        e = linear(segment.value, self.join.edge.weight)
        context = None if position is None else of_ends(position.unsqueeze(0), None, block)
        return self.map.total(e, x, block, segment.end, group, context)


@final
class EdgeUpdate(nn.Module):
    """``(Lin e) * MLP(can x_j, can x_i)``: sender first."""

    def __init__(self, preset: Preset, out: int | None = None) -> None:
        super().__init__()
        out = preset.width if out is None else out
        self.linear = nn.Linear(preset.width, out, bias=False)
        self.invariants = nn.ModuleDict({**scale_invariants(preset, preset.width)})
        self.mlp = mlp(preset, 2 * preset.width, out)

    def ends(self, x: Float[Tensor, "b n c"], group: ScaleName) -> tuple[Tensor, Tensor]:
        """What the first matrix of the MLP reads of vertices as senders, and as receivers with the bias: per vertex."""
        own = self.mlp.first
        # Both halves of the matrix read the same invariant: one product of twice the height.
        both = torch.cat(own.weight.chunk(2, 1))
        shift = torch.cat([torch.zeros_like(own.bias), own.bias])
        seen = self.invariants[group].affine(x, both, shift)  # pyright: ignore[reportCallIssue]
        sender, receiver = seen.chunk(2, -1)
        return sender, receiver

    def forward(self, segment: Segment, sender: Float[Tensor, "b s c"], receiver: Float[Tensor, "b r c"]) -> Segment:
        block, e = segment.block, segment.value
        if _fused.applies(self.mlp, sender) and not isinstance(e, Outer):
            return replace(segment, value=_fused.update(e, self.linear.weight, sender, receiver, self.mlp, block))
        gate = self.mlp.last(self.mlp.hidden(of_ends(sender, receiver, block)))
        return replace(segment, value=dense(linear(e, self.linear.weight)) * gate)


@final
class Round(nn.Module):
    """Messages, vertex update and edge update of a scale-equivariant model.

    Args:
        preset: Chooses the parts.
        chain: The architecture read.
        update_edges: Whether edge states change in this round.
        node_out: Channels of the new vertex states.
        edge_out: Channels of the new edge states.
        skip: Whether a linear map of the old vertex states is added.
    """

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
        context = preset.width if preset.positions_in_messages else 0
        self.messages = nn.ModuleDict({name: Message(preset, context) for name in directions(preset)})
        self.update = VertexMap(preset, (1 + len(self.messages)) * preset.width, node_out, context)
        changing = [name for name, changes in evolving(preset).items() if changes and update_edges]
        self.edge_updates = nn.ModuleDict({name: EdgeUpdate(preset, edge_out) for name in changing})
        self.skip = nn.Linear(preset.width, preset.width, bias=False) if skip else None
        self.dropout = nn.Dropout(preset.dropout if node_out is None else 0.0)  # never on an operator's changes

    def forward(
        self, state: ChainState, needed: Needed, group: ScaleName, positions: list[Tensor] | None
    ) -> ChainState:
        nodes = self._nodes(state, needed, group, positions)
        return ChainState(nodes, {name: self._edges(name, state, needed, group) for name in state.edges})

    def _nodes(
        self, state: ChainState, needed: Needed, group: ScaleName, positions: list[Tensor] | None
    ) -> list[Tensor | None]:
        hidden = [layer for layer in self.chain.hidden if layer in needed.nodes]
        arrived = self._arrived(state, needed, group, positions)
        nodes: list[Tensor | None] = [None] * len(self.chain.sizes)
        batches: list[tuple[list[int], End | None]] = [(hidden, None)] if hidden else []
        for layer, end in self._ends().items():
            if layer in needed.nodes:
                batches.append(([layer], end))
        for layers, end in batches:
            context = None
            if positions is not None:
                context = torch.cat([positions[i].expand(self.chain.sizes[i], -1) for i in layers])
            own = state.of(layers)
            parts = [own]
            for name in self.messages:
                got = [arrived.get((name, i)) for i in layers]
                # Nothing arrives at inputs going ahead, nor at outputs going back.
                parts.append(torch.zeros_like(own) if None in got else torch.cat(got, 1))  # pyright: ignore[reportArgumentType, reportCallIssue]
            joined = torch.cat(parts, -1)
            new = self.update(joined, end, group, context)
            if self.skip is not None:
                new = new + self.skip(own)
            for layer, value in zip(
                layers, self.dropout(new).split([self.chain.sizes[i] for i in layers], 1), strict=True
            ):
                nodes[layer] = value
        return nodes

    def _arrived(
        self, state: ChainState, needed: Needed, group: ScaleName, positions: list[Tensor] | None
    ) -> dict[tuple[str, int], Tensor]:
        """Messages by direction and layer."""
        arrived: dict[tuple[str, int], Tensor] = {}
        for name, message in self.messages.items():
            read = {w for layer in needed.nodes if (w := receivers(name, layer, len(self.chain.sizes))) is not None}
            for whole in state.edges[name]:
                segment = whole.pick(read)
                if segment is None:
                    continue
                senders = [sender_of(name, weight) for weight in segment.weights]
                position = None
                if positions is not None:
                    position = torch.cat([positions[i].expand(self.chain.sizes[i], -1) for i in senders])
                got = message(state.of(senders), segment, group, position).split(segment.block.receivers, 1)
                arrived |= {(name, receiver_of(name, w)): x for w, x in zip(segment.weights, got, strict=True)}
        return arrived

    def _edges(self, name: str, state: ChainState, needed: Needed, group: ScaleName) -> list[Segment]:
        old = state.edges[name]
        if name not in self.edge_updates:
            return old
        update: EdgeUpdate = self.edge_updates[name]  # pyright: ignore[reportAssignmentType]
        wanted = needed.edges.get(name, frozenset())
        layers = sorted({layer for weight in wanted for layer in (weight, weight + 1)})
        if not layers:
            return []
        sizes = [self.chain.sizes[i] for i in layers]
        seen = (dict(zip(layers, part.split(sizes, 1), strict=True)) for part in update.ends(state.of(layers), group))
        sending, receiving = seen
        new = []
        for segment in (one.pick(wanted) for one in old):
            if segment is not None:
                senders = torch.cat([sending[sender_of(name, w)] for w in segment.weights], 1)
                others = torch.cat([receiving[receiver_of(name, w)] for w in segment.weights], 1)
                new.append(update(segment, senders, others))
        return new

    def _ends(self) -> dict[int, End]:
        return {0: "input", len(self.chain.sizes) - 1: "output"}


def sender_of(direction: str, weight: int) -> int:
    """The layer from which messages pass a weight."""
    return weight if direction == "ahead" else weight + 1


def receiver_of(direction: str, weight: int) -> int:
    """The layer at which they arrive."""
    return weight + 1 if direction == "ahead" else weight
