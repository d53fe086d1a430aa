"""Deep Sets over neurons: a functional that averages them, and an operator that multiplies weights by gates of theirs.

Source: Zaheer et al. 2017, Deep Sets, arXiv:1703.06114; what is read of a neuron is ours.
"""

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..._types import Params
from ...spec import SymmetrySpec, layout
from ...view import DenseView, view
from .._checks import check_sizes, check_stack
from .._equivariant import Mlp
from .._interfaces import AbstractFunctional, AbstractOperator
from ..scale._state import key
from ._neurons import Neurons


@final
class DeepSetsFunctional(AbstractFunctional):
    """A vector per network, the same for every network of an orbit.

    Called with stacked parameters (``dict`` of name to ``[b, *shape]``), returns ``[b, out]``. Neurons are averaged by
    space; output units have names and are read one by one.

    Args:
        spec: Architecture of the networks read.
        out: Length of the vector.
        width: Channels of a neuron.

    Raises:
        ConfigError: for a size below 1.
        SpecError: if the architecture has no weights, or parameters that are neither weights nor biases.
    """

    def __init__(self, spec: SymmetrySpec, out: int = 1, *, width: int = 64) -> None:
        super().__init__()
        check_sizes(spec, width=width, out=out)
        self.spec = spec
        self.neurons = Neurons(spec, width)
        plan = layout(spec)
        self.singly = {name for name in self.neurons.spaces if spec.space[name].fixed and not plan.out_of(name)}
        vectors = sum(spec.space[name].size if name in self.singly else 1 for name in self.neurons.spaces)
        self.norm = nn.LayerNorm(vectors * width)
        self.head = Mlp(vectors * width, 2 * width, out)

    def forward(self, params: Mapping[str, Tensor]) -> Float[Tensor, "b o"]:
        check_stack(params, self.spec, self.norm.weight)
        x = self.neurons(params)
        parts = [value.flatten(1) if name in self.singly else value.mean(1) for name, value in x.items()]
        return self.head(self.norm(torch.cat(parts, -1)))


@final
class DeepSetsOperator(AbstractOperator):
    """New parameters for every network: old ones times gates of the neurons they belong to.

    Called with stacked parameters (``dict`` of name to ``[b, *shape]``), returns the same. With invariant gates a, b
    and c per neuron and tensor, the change of a weight is ``W_ij (a_i + b_j)`` and that of a bias ``b_i c_i``, times a
    learned step per tensor; both move as the parameters do, whatever scales act. Zeros stay zero; parameters that
    belong to no neuron do not change.

    Args:
        spec: Architecture of the networks read and written.
        width: Channels of a neuron.

    Raises:
        ConfigError: for a size below 1.
        SpecError: if the architecture has no weights, or parameters that are neither weights nor biases.
    """

    initial_step = 0.1

    def __init__(self, spec: SymmetrySpec, *, width: int = 64) -> None:
        super().__init__()
        check_sizes(spec, width=width)
        self.spec = spec
        self.neurons = Neurons(spec, width)
        plan, count = layout(spec), self.neurons.biases
        context = width * len(self.neurons.spaces)
        self.norm = nn.LayerNorm(context)
        self.gates = nn.ModuleDict()
        for name in self.neurons.spaces:
            gates = count[name] + len(plan.into(name)) + len(plan.out_of(name))
            self.gates[key(name)] = Mlp(width + context, width, gates)
        self.biased = [name for name in self.neurons.spaces if count[name]]
        self.weight_steps = nn.Parameter(torch.full((len(plan.weights),), self.initial_step))
        self.bias_steps = nn.Parameter(torch.full((len(self.biased),), self.initial_step))

    def delta(self, params: Mapping[str, Tensor]) -> Params:
        """The changes alone, stacked as the parameters are."""
        check_stack(params, self.spec, self.weight_steps)
        x = self.neurons(params)
        context = self.norm(torch.cat([value.mean(1) for value in x.values()], -1)).unsqueeze(1)
        gates = {name: iter(self._gates(name, value, context)) for name, value in x.items()}
        dense = view(params, self.spec)
        nodes = {
            name: dense.nodes[name] * next(gates[name]) * step
            for name, step in zip(self.biased, self.bias_steps, strict=True)
        }
        edges = {}
        for weight, step in zip(layout(self.spec).weights, self.weight_steps, strict=True):
            ahead, back = next(gates[weight.target]).unsqueeze(2), next(gates[weight.source]).unsqueeze(1)
            edges[weight.name] = dense.edges[weight.name] * (ahead + back) * step
        rest = {name: torch.zeros_like(value) for name, value in dense.rest.items()}
        return DenseView(self.spec, nodes, edges, rest).to_params()

    def _gates(self, name: str, x: Float[Tensor, "b n c"], context: Float[Tensor, "b 1 f"]) -> list[Tensor]:
        """Gates of every tensor that a neuron has a part in, ``[b, n, 1]``: its biases ``[b, n, k]`` first."""
        count = self.neurons.biases[name]
        found = self.gates[key(name)](x, context)
        biases, weights = found.split([count, found.shape[-1] - count], -1)
        return [*([biases] if count else []), *weights.split(1, -1)]
