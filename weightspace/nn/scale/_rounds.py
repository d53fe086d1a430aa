"""Rounds of message passing on the dense view, for any mixture of scale groups.

Messages go forward along the weights and, in bidirectional models, backward. Let q_i act on the target i and
q_j on the source j of an edge; its state scales as q_i / q_j. A forward message is a sender's state times the
edge's, hence scales as q_i. For the backward one the sender is divided by its squared neuron gauge (1 / q_i),
so the product scales as 1 / q_j, and the receiver multiplies by its own squared gauge: q_j, exactly, without
a reciprocal of any weight. For sign groups all gauges are 1 and both rules are the same.
"""

from collections.abc import Collection
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...gauge import reciprocal_or_zero
from ...spec import ScaleName, SymmetrySpec, layout
from .._equivariant import ReScaleEq, vertex_map
from .._invariant import SignInvariant, invariant, kind
from .._norm import GaugeNorm
from ._state import State

Direction = Literal["forward", "bidirectional"]
"""Whether messages also travel from outputs to inputs."""

SENDERS = {"ahead": 2, "back": 1}
"""Axis of an edge tensor ``[b, m, n, c]`` over which the senders of a direction run."""


@final
class Message(nn.Module):
    """Sum over senders of an equivariant map of (sender state x edge state), over the square root of their number."""

    def __init__(self, width: int, groups: list[ScaleName], sign: SignInvariant) -> None:
        super().__init__()
        self.join = ReScaleEq(width)
        self.maps = nn.ModuleDict({g: vertex_map(width, width, width, g, sign) for g in groups})

    def forward(
        self, senders: Float[Tensor, "b s c"], e: Float[Tensor, "b m n c"], dim: int, group: ScaleName
    ) -> Float[Tensor, "b v c"]:
        total = self.maps[group].total  # the receiver's group: the product lives where it arrives
        # The sum of incoherent messages grows with the square root of their number; this keeps its size.
        return total(self.join(senders, e, dim), dim) / e.shape[dim] ** 0.5  # pyright: ignore[reportCallIssue]


@final
class ScaledEdgeUpdate(nn.Module):
    """``e + (Lin e) * gate(x_i, x_j) + (Lin x_i) * (Lin x_j)``, each term scaling as q_i / q_j.

    The outer product is ours: without it a scalar weight's state stays a multiple of the weight, and an
    operator could neither move a zero weight nor write a gradient (an outer product of delta and activation).
    """

    def __init__(self, width: int, groups: list[ScaleName], sign: SignInvariant) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width, bias=False)
        self.invariants = nn.ModuleDict({g: invariant(g, width, width, sign) for g in groups})
        self.target_gate = nn.Linear(width, width)
        self.source_gate = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, width)
        self.target = nn.Linear(width, width, bias=False)
        self.source = nn.Linear(width, width, bias=False)

    def forward(
        self,
        e: Float[Tensor, "b m n c"],
        target: Float[Tensor, "b m c"],
        source: Float[Tensor, "b n c"],
        inverse_source: Float[Tensor, "b n c"],
        groups: tuple[ScaleName, ScaleName],
    ) -> Float[Tensor, "b m n c"]:
        # The first layer of the gate is a sum of a target part and a source part: products per node only.
        seen_target = self.target_gate(self.invariants[groups[0]](target)).unsqueeze(2)
        seen_source = self.source_gate(self.invariants[groups[1]](source)).unsqueeze(1)
        gate = self.gate(nn.functional.silu(seen_target + seen_source))
        outer = self.target(target).unsqueeze(2) * self.source(inverse_source).unsqueeze(1)
        return e + self.linear(e) * gate + outer


@final
class PlainEdgeUpdate(nn.Module):
    """``e + MLP(e, x_i, x_j) + (Lin x_i) * (Lin x_j)`` between spaces on which no scale acts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edge = nn.Linear(width, width)
        self.from_target = nn.Linear(width, width, bias=False)
        self.from_source = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)
        self.target = nn.Linear(width, width, bias=False)
        self.source = nn.Linear(width, width, bias=False)

    def forward(
        self, e: Float[Tensor, "b m n c"], target: Float[Tensor, "b m c"], source: Float[Tensor, "b n c"]
    ) -> Float[Tensor, "b m n c"]:
        ends = self.from_target(target).unsqueeze(2) + self.from_source(source).unsqueeze(1)
        outer = self.target(target).unsqueeze(2) * self.source(source).unsqueeze(1)
        return e + self.out(nn.functional.silu(self.edge(e) + ends)) + outer


@final
class Round(nn.Module):
    """Messages, vertex update and edge update; residual in both states.

    Args:
        spec: Architecture of the networks read.
        width: Channels of every state.
        direction: ``forward`` or ``bidirectional``.
        sign: Invariant for sign groups.
        nodes: Spaces whose states are read later; the others are left as they are.
        edges: Whether edge states are read later.
    """

    def __init__(
        self,
        spec: SymmetrySpec,
        width: int,
        direction: Direction,
        sign: SignInvariant,
        nodes: Collection[str],
        edges: bool,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.nodes = frozenset(nodes)
        plan = layout(spec)
        directions = ["ahead", "back"] if direction == "bidirectional" else ["ahead"]
        reached = {"ahead": {w.target for w in plan.weights}, "back": {w.source for w in plan.weights}}
        self.messages = nn.ModuleDict(
            {name: Message(width, self._groups(reached[name] & self.nodes), sign) for name in directions}
        )
        parts = 1 + len(directions)
        self.norms = nn.ModuleList(GaugeNorm(width) for _ in range(parts))
        groups = self._groups(self.nodes)
        self.updates = nn.ModuleDict({g: vertex_map(parts * width, width, width, g, sign) for g in groups})
        ends = {(kind(spec.space[w.target]), kind(spec.space[w.source])) for w in plan.weights if edges}
        self.edge_updates = nn.ModuleDict()
        if ("trivial", "trivial") in ends:
            self.edge_updates["plain"] = PlainEdgeUpdate(width)
        if ends - {("trivial", "trivial")}:
            every = self._groups({space.name for space in spec.spaces})
            self.edge_updates["scaled"] = ScaledEdgeUpdate(width, every, sign)

    def _groups(self, spaces: Collection[str]) -> list[ScaleName]:
        return sorted({kind(self.spec.space[name]) for name in spaces})

    def forward(self, state: State) -> State:
        gauge = state.gauge
        groups: dict[str, ScaleName] = {space.name: kind(space) for space in self.spec.spaces}
        # `x` scales as q and `inverse` as 1/q: the same feature divided by the squared gauge.
        x = {name: self.norms[0](value, gauge[name]) for name, value in state.nodes.items()}
        inverse = {name: _over_squared_gauge(value, gauge[name]) for name, value in x.items()}
        arrived = [self._collect(name, x, inverse, state, groups) for name in self.messages]
        nodes = dict(state.nodes)
        for name, value in state.nodes.items():
            if name not in self.nodes:
                continue
            parts = [x[name]]
            for index, messages in enumerate(arrived, start=1):
                part = messages.get(name)
                parts.append(torch.zeros_like(value) if part is None else self.norms[index](part, gauge[name]))
            nodes[name] = value + self.updates[groups[name]](torch.cat(parts, -1))
        edges = dict(state.edges)
        for weight in layout(self.spec).weights if self.edge_updates else ():
            i, j, e = weight.target, weight.source, state.edges[weight.name]
            ends = (groups[i], groups[j])
            if ends == ("trivial", "trivial"):
                edges[weight.name] = self.edge_updates["plain"](e, x[i], x[j])
            else:
                edges[weight.name] = self.edge_updates["scaled"](e, x[i], x[j], inverse[j], ends)
        return State(nodes, edges, gauge, state.unit)

    def _collect(
        self,
        direction: str,
        x: dict[str, Tensor],
        inverse: dict[str, Tensor],
        state: State,
        groups: dict[str, ScaleName],
    ) -> dict[str, Tensor]:
        """Messages of one direction, summed over the weights that meet in a space."""
        total: dict[str, Tensor] = {}
        for weight in layout(self.spec).weights:
            e, dim, ahead = state.edges[weight.name], SENDERS[direction], direction == "ahead"
            name, senders = (weight.target, x[weight.source]) if ahead else (weight.source, inverse[weight.target])
            if name not in self.nodes:
                continue
            got = self.messages[direction](senders, e, dim, groups[name])
            if not ahead:
                # One factor after the other: the square alone could leave the range of the numbers.
                got = got * state.gauge[name].unsqueeze(-1) * state.gauge[name].unsqueeze(-1)
            total[name] = total[name] + got if name in total else got
        return total


def _over_squared_gauge(x: Float[Tensor, "b n c"], gauge: Float[Tensor, "b n"]) -> Float[Tensor, "b n c"]:
    inverse = reciprocal_or_zero(gauge).unsqueeze(-1)
    return x * inverse * inverse
