"""Initial states of a metanetwork: what it reads off the networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...gauge import neuron_gauge, normal_form, safe_norm
from ...spec import SymmetrySpec, layout
from ...view import view
from .._invariant import kind


@final
@dataclass(frozen=True, eq=False)
class State:
    """Features of ``b`` networks between rounds; a gauge element (q) acts on them as on the parameters.

    Attributes:
        nodes: Per space ``[b, n, c]``; scales as q_i.
        edges: Per weight ``[b, m, n, c]``; scales as q_i / q_j, target i, source j.
        gauge: Per space ``[b, n]``, the neuron gauge; scales as |q_i|, is 1 where no positive scale acts.
        unit: Per space ``[b]``, the root mean square of its fan-in in normal form; nothing acts on it.
    """

    nodes: dict[str, Tensor]
    edges: dict[str, Tensor]
    gauge: dict[str, Tensor]
    unit: dict[str, Tensor]


@final
class Embed(nn.Module):
    """States of round 0: weights and biases in units of their layer, projected to channels.

    Every layer's numbers are divided by their root mean square (taken in normal form, so no gauge changes
    it), and the logarithms of these units go to the nodes on which nothing acts.
    """

    def __init__(self, spec: SymmetrySpec, width: int) -> None:
        super().__init__()
        self.spec = spec
        plan = layout(spec)
        self.weights = nn.ModuleDict({key(w.name): nn.Linear(w.width, width, bias=False) for w in plan.weights})
        num_channels = {s.name: sum(b.width for b in plan.biases_of(s.name)) for s in spec.spaces}
        self.biases = nn.ModuleDict(
            {key(name): nn.Linear(c, width, bias=False) for name, c in num_channels.items() if c}
        )
        # Where nothing acts a position may be added (one per unit on fixed spaces, whose units have names;
        # one per space on permuted ones); elsewhere it multiplies.
        self.positions = nn.ParameterDict(
            {key(s.name): torch.randn(s.size if s.fixed else 1, width) for s in spec.spaces}
        )
        self.context = nn.Linear(len(spec.spaces), width)

    def forward(self, params: Mapping[str, Tensor]) -> State:
        dense = view(params, self.spec)
        unit = _units(params, self.spec)
        logs = torch.stack([(unit[s.name] + 1e-12).log() for s in self.spec.spaces], -1)
        context = self.context(logs.clamp(-5.0, 5.0)).unsqueeze(1)
        num = logs.shape[0]
        nodes, edges = {}, {}
        for space in self.spec.spaces:
            position = self.positions[key(space.name)]
            value = position.new_zeros(num, space.size, position.shape[-1])
            if space.name in dense.nodes:
                value = self.biases[key(space.name)](_divide(dense.nodes[space.name], unit[space.name]))
            nodes[space.name] = value + position + context if kind(space) == "trivial" else value * position
        for weight in layout(self.spec).weights:
            value = _divide(dense.edges[weight.name], unit[weight.target])
            edges[weight.name] = self.weights[key(weight.name)](value)
        return State(nodes, edges, neuron_gauge(params, self.spec), unit)


def _units(params: Mapping[str, Tensor], spec: SymmetrySpec) -> dict[str, Float[Tensor, " b"]]:
    """Root mean square of the weights into each space, in normal form; of the biases where there are no weights."""
    normal, _ = normal_form(params, spec)
    plan = layout(spec)
    some = normal[(*plan.weights, *plan.biases)[0].name]
    unit = {}
    for space in spec.spaces:
        names = [w.name for w in plan.into(space.name)] or [b.name for b in plan.biases_of(space.name)]
        values = [normal[name].flatten(1) for name in names]
        joined = torch.cat(values, 1) if values else some.new_ones(some.shape[0], 1)
        unit[space.name] = safe_norm(joined) / joined.shape[1] ** 0.5
    return unit


def _divide(value: Tensor, unit: Float[Tensor, " b"]) -> Tensor:
    shape = [-1] + [1] * (value.ndim - 1)
    alive = (unit > 0).reshape(shape)
    return (value / unit.where(unit > 0, 1.0).reshape(shape)).where(alive, 0.0)


def key(name: str) -> str:
    """A parameter or space name as a module key: without dots, and unlike any attribute of a module."""
    return "@" + name.replace(".", "/")
