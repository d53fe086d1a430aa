"""Read-outs: from final states to a vector, or to changes of the parameters."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..._types import Params
from ...spec import SymmetrySpec, layout
from ...view import DenseView
from .._equivariant import Mlp, ScaleInv
from .._invariant import SignInvariant, invariant, kind
from .._norm import GaugeNorm
from ._state import State, key


@final
class InvariantReadout(nn.Module):
    """A vector per network that no gauge changes.

    Hidden spaces and inputs are averaged over their neurons after an invariant map; the units of an output
    space have names and are read one by one.
    """

    def __init__(self, spec: SymmetrySpec, width: int, out: int, sign: SignInvariant) -> None:
        super().__init__()
        self.spec = spec
        self.norm = GaugeNorm(width)
        plan = layout(spec)
        self.outputs = [s.name for s in spec.spaces if s.fixed and not plan.out_of(s.name)]
        self.pooled = [s.name for s in spec.spaces if s.name not in self.outputs]
        self.pools = nn.ModuleDict(
            {
                key(name): ScaleInv(invariant(kind(spec.space[name]), width, width, sign), Mlp(width, width, width))
                for name in self.pooled
            }
        )
        features = width * (len(self.pools) + sum(spec.space[name].size for name in self.outputs))
        self.head = nn.Sequential(nn.LayerNorm(features), Mlp(features, 2 * width, out))

    def forward(self, state: State) -> Float[Tensor, "b o"]:
        x = {name: self.norm(value, state.gauge[name]) for name, value in state.nodes.items()}
        pooled = [self._pooled(name, x[name]) for name in self.pooled]
        return self.head(torch.cat([*pooled, *(x[name].flatten(1) for name in self.outputs)], -1))

    def _pooled(self, name: str, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b c"]:
        pool: ScaleInv = self.pools[key(name)]  # pyright: ignore[reportAssignmentType]
        return pool.total(x, 1) / x.shape[1]


@final
class EquivariantReadout(nn.Module):
    """Changes of every weight and bias; they move with the gauge exactly as the parameters do.

    Each layer has one learned step for its weights and one for its biases, in units of the layer.

    Source: arXiv:2510.08300, appendix D.1; they start the steps at 0.01, where float32 rounds much of the change away.
    """

    initial_step = 0.1

    def __init__(self, spec: SymmetrySpec, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.norm = GaugeNorm(width)
        plan = layout(spec)
        widths = {s.name: sum(b.width for b in plan.biases_of(s.name)) for s in spec.spaces}
        self.edge_heads = nn.ModuleList(nn.Linear(width, w.width, bias=False) for w in plan.weights)
        self.biased = [name for name, c in widths.items() if c]
        self.node_heads = nn.ModuleDict({key(name): nn.Linear(width, widths[name], bias=False) for name in self.biased})
        self.edge_steps = nn.Parameter(torch.full((len(plan.weights),), self.initial_step))
        self.node_steps = nn.Parameter(torch.full((len(self.node_heads),), self.initial_step))

    def forward(self, state: State, rest: Params) -> Params:
        edges, nodes = {}, {}
        for index, weight in enumerate(layout(self.spec).weights):
            step = self.edge_steps[index] * state.unit[weight.target]
            edges[weight.name] = self.edge_heads[index](state.edges[weight.name]) * step.view(-1, 1, 1, 1)
        for index, name in enumerate(self.biased):
            head = self.node_heads[key(name)]
            step = self.node_steps[index] * state.unit[name]
            nodes[name] = head(self.norm(state.nodes[name], state.gauge[name])) * step.view(-1, 1, 1)
        still = {name: torch.zeros_like(value) for name, value in rest.items()}
        return DenseView(self.spec, nodes, edges, still).to_params()
