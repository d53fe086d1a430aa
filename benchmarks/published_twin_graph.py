"""Stacked chains of layers as edge lists with raw features; the only place of the slow twin that knows a spec.

Vertices come layer by layer, edges layer pair by layer pair and within one source by source.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from weightspace.spec import SymmetrySpec, Weight, layout
from weightspace.view import DenseView, view

Params = dict[str, Tensor]


@final
class Graph(nn.Module):
    """Vertices, edges, and their types, of a chain of spaces with one weight between neighbours.

    Attributes:
        spaces: Names, from inputs to outputs.
        sizes: Neurons of each space.
        weights: One per pair of neighbours.
        kernel: Numbers per edge: the largest width; narrower weights are padded with zeros behind.
        layer: Layer of each vertex.
        source, target: Vertices that each edge joins.
        vertex_type: Inputs and outputs one by one, hidden vertices by layer.
        edge_type: First weight by input, last by output, the others by layer; the intended rule of the release.

    Raises:
        ValueError: if the spec is no such chain.
    """

    layer: Tensor
    source: Tensor
    target: Tensor
    vertex_type: Tensor
    edge_type: Tensor

    def __init__(self, spec: SymmetrySpec) -> None:
        super().__init__()
        plan = layout(spec)
        self.spec = spec
        self.spaces = [space.name for space in spec.spaces]
        self.sizes = [space.size for space in spec.spaces]
        pairs = list(pairwise(self.spaces))
        by_pair = {(weight.source, weight.target): weight for weight in plan.weights}
        single = all(bias.width == 1 and len(plan.biases_of(bias.space)) == 1 for bias in plan.biases)
        if len(pairs) < 2 or set(by_pair) != set(pairs) or len(plan.weights) != len(pairs) or not single:
            raise ValueError(f"the twin reads chains with a hidden space, one weight and one bias each, got {spec}.")
        self.weights: list[Weight] = [by_pair[pair] for pair in pairs]
        self.kernel = max(weight.width for weight in self.weights)

        sizes, last = self.sizes, len(self.sizes) - 1
        layer = torch.arange(last + 1).repeat_interleave(torch.tensor(sizes))
        unit = torch.cat([torch.arange(size) for size in sizes])
        vertex_type = torch.where(layer == 0, unit, layer - 1 + sizes[0] + (layer == last) * unit)
        vertices = torch.arange(len(layer)).split(sizes)
        lists = [torch.cartesian_prod(a, b).unbind(1) for a, b in pairwise(vertices)]
        source, target = (torch.cat(ends) for ends in zip(*lists, strict=True))
        pair = layer[source]
        by_layer = pair - 1 + sizes[0] + (pair == last - 1) * unit[target]
        edge_type = torch.where(pair == 0, unit[source], by_layer)
        self.num_vertex_types = int(vertex_type.max()) + 1
        self.num_edge_types = int(edge_type.max()) + 1
        buffers = {
            "layer": layer, "source": source, "target": target, "vertex_type": vertex_type, "edge_type": edge_type
        }  # fmt: skip
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def read(
        self, params: Mapping[str, Tensor], feature: float
    ) -> tuple[Float[Tensor, "b v 1"], Float[Tensor, "b e k"]]:
        """Raw features: biases (``feature`` on inputs without any, 0 elsewhere) and weights."""
        seen = view(params, self.spec)
        like = seen.edges[self.weights[0].name]
        nodes = []
        for number, (name, size) in enumerate(zip(self.spaces, self.sizes, strict=True)):
            missing = like.new_full((len(like), size, 1), 0.0 if number else feature)
            nodes.append(seen.nodes.get(name, missing))
        edges = [
            F.pad(seen.edges[weight.name].transpose(1, 2).flatten(1, 2), (0, self.kernel - weight.width))
            for weight in self.weights
        ]
        return torch.cat(nodes, 1), torch.cat(edges, 1)

    def write(self, x: Float[Tensor, "b v 1"], e: Float[Tensor, "b e k"], params: Mapping[str, Tensor]) -> Params:
        """One number per vertex and ``k`` per edge as parameters; zero for input biases and what nothing acts on."""
        seen = view(params, self.spec)
        pairs = [a * b for a, b in pairwise(self.sizes)]
        edges = {}
        for weight, part in zip(self.weights, e.split(pairs, 1), strict=True):
            m, n = seen.edges[weight.name].shape[1:3]
            edges[weight.name] = part[..., : weight.width].unflatten(1, (n, m)).transpose(1, 2)
        nodes = {
            name: part for name, part in zip(self.spaces, x.split(self.sizes, 1), strict=True) if name in seen.nodes
        }
        if self.spaces[0] in nodes:
            nodes[self.spaces[0]] = torch.zeros_like(nodes[self.spaces[0]])
        rest = {name: torch.zeros_like(value) for name, value in seen.rest.items()}
        return DenseView(self.spec, nodes, edges, rest).to_params()

    def reversed_edges(self, x: Float[Tensor, "b v 1"], e: Float[Tensor, "b e k"], kind: str) -> Float[Tensor, "b e k"]:
        """Raw features of the reversed edges; they scale inversely unless ``kind`` is ``as_released``."""
        if kind == "as_released":
            return e
        squares = e.square().sum(-1, keepdim=True)
        if kind == "reciprocal":
            return torch.where(squares > 0, e / squares.where(squares > 0, 1.0), 0.0)
        if kind != "gauge":
            raise ValueError(f"backward_edges must be as_released, gauge or reciprocal, got {kind!r}.")
        # Layer by layer; a vertex's squared length needs those of all its sources.
        length = torch.ones_like(x)
        for number in range(1, len(self.sizes) - 1):
            fan_in = torch.zeros_like(x).index_add(1, self.target, squares * length[:, self.source])
            length = torch.where((self.layer == number)[:, None], x.square() + fan_in, length)
        below = length[:, self.target]
        return torch.where(below > 0, e * length[:, self.source] / below.where(below > 0, 1.0), 0.0)


def golden_inputs(spec: SymmetrySpec) -> Params:
    """One network of a chain ``spec``, stacked, float64."""
    zeros = {name: torch.zeros(1, *spec.shape(name), dtype=torch.float64) for name in spec.axes}
    seen = view(zeros, spec)
    layer = {space.name: number for number, space in enumerate(spec.spaces)}
    for weight in layout(spec).weights:
        edges = seen.edges[weight.name]
        c, a, k = (torch.arange(edges.shape[dim], dtype=edges.dtype) for dim in (1, 2, 3))
        angle = 1 + 1.7 * a[:, None] + 2.3 * c[:, None, None] + 0.9 * k + 3.1 * layer[weight.source]
        seen.edges[weight.name] = 0.8 * angle.sin()[None]
    for space, value in seen.nodes.items():
        angle = 0.6 + 1.9 * torch.arange(value.shape[1], dtype=value.dtype) + 2.7 * (layer[space] - 1)
        seen.nodes[space] = 0.5 * angle.cos()[None, :, None]
    return seen.to_params()
