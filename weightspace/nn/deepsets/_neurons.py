"""What a neuron is by itself: its biases, and moments of what it reads and of what is read of it.

Positive scales are divided out beforehand (normal form). Where signs act on either end of a weight its absolute values
are read. Everything is in units of its tensor, whose logarithms are told to all neurons.
"""

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...gauge import has_positive_scales, normal_form, safe_norm
from ...spec import SymmetrySpec, layout, without_scales
from ...view import view
from .._equivariant import Mlp
from .._invariant import kind
from .._tensors import in_units, log_unit
from ..scale._state import key

MOMENTS = 4


@final
class Neurons(nn.Module):
    """A vector per neuron, ``[b, n, c]`` by space; permuted with the neurons, and nothing else acts on it.

    Hidden neurons of a space share their map. Units of a fixed space have names: their map reads a learned vector
    each as well. Spaces without weights and biases are left out.
    """

    def __init__(self, spec: SymmetrySpec, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.divides = has_positive_scales(spec)
        self.inner = without_scales(spec, keep_signs=True)
        plan = layout(spec)
        self.biases = {s.name: sum(bias.width for bias in plan.biases_of(s.name)) for s in spec.spaces}
        tensors = len(plan.weights) + sum(count > 0 for count in self.biases.values())
        self.names, self.maps = nn.ParameterDict(), nn.ModuleDict()
        for space in spec.spaces:
            sides = len(plan.into(space.name)) + len(plan.out_of(space.name))
            features = self.biases[space.name] + MOMENTS * sides
            if features and space.fixed:
                self.names[key(space.name)] = nn.Parameter(torch.randn(space.size, width))
                features += width
            if features:
                self.maps[key(space.name)] = Mlp(features + tensors, width, width)
        self.spaces = [space.name for space in spec.spaces if key(space.name) in self.maps]

    def forward(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self.divides:
            params, _ = normal_form(params, self.spec)
        dense = view(params, self.inner)
        signed = {space.name: kind(space) == "trivial" for space in self.inner.spaces}
        parts: dict[str, list[Tensor]] = {name: [] for name in self.spaces}
        logs = []
        for name, value in dense.nodes.items():
            x, unit = in_units(value if signed[name] else value.abs())
            parts[name].append(x)
            logs.append(log_unit(unit))
        for weight in layout(self.inner).weights:
            edges = dense.edges[weight.name]
            x, unit = in_units(edges if signed[weight.source] and signed[weight.target] else edges.abs())
            parts[weight.target].append(moments(x.flatten(2)))
            parts[weight.source].append(moments(x.transpose(1, 2).flatten(2)))
            logs.append(log_unit(unit))
        context = torch.stack(logs, -1).unsqueeze(1)
        return {name: self._vectors(name, torch.cat(found, -1), context) for name, found in parts.items()}

    def _vectors(self, name: str, x: Float[Tensor, "b n f"], context: Float[Tensor, "b 1 t"]) -> Tensor:
        if key(name) in self.names:
            x = torch.cat([x, self.names[key(name)].expand(len(x), -1, -1)], -1)
        return self.maps[key(name)](x, context)


def moments(x: Float[Tensor, "b n r"]) -> Float[Tensor, "b n k"]:
    """Mean, root mean square, smallest and largest entry of every row."""
    return torch.stack([x.mean(-1), safe_norm(x) / x.shape[-1] ** 0.5, x.amin(-1), x.amax(-1)], -1)
