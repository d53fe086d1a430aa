"""Stacked networks of one spec as dense node and edge features, and back, exactly.

Every neuron space is a layer of nodes, every weight a complete bipartite layer of edges; message passing over
them is broadcasting and sums. Nothing is gathered, scattered or masked, and a weight that happens to be zero
keeps its edge.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from .._errors import SpecMismatch
from .._types import Params
from ..spec import SymmetrySpec, Weight, layout


@final
@dataclass(frozen=True, eq=False)
class DenseView:
    """Node and edge features of ``b`` stacked networks.

    Sizes differ from entry to entry, so the shapes stand here and not in the annotations.

    Attributes:
        spec: Their architecture.
        nodes: Biases per space, ``[b, n, c]``; spaces without any (inputs) are absent.
        edges: Per weight name, ``[b, m, n, k]``: ``m`` target neurons, ``n`` source neurons, ``k`` numbers per
            pair (kernel elements).
        rest: Parameters that nothing acts on, as they came.
    """

    spec: SymmetrySpec
    nodes: dict[str, Tensor]
    edges: dict[str, Tensor]
    rest: Params

    def to_params(self) -> Params:
        """The stacked parameters of this view, in ``state_dict`` order; the exact inverse of :func:`view`."""
        plan, result = layout(self.spec), dict(self.rest)
        for weight in plan.weights:
            result[weight.name] = _from_edges(self.edges[weight.name], weight, self.spec)
        for space, value in self.nodes.items():
            start = 0
            for bias in plan.biases_of(space):
                part = value[..., start : start + bias.width]
                shape = self.spec.shape(bias.name)
                inner = [size for dim, size in enumerate(shape) if dim != bias.dim]
                repeat = self.spec.plain_axes(bias.name)[bias.dim].repeat
                unfolded = part.unflatten(-1, (repeat, *inner)).flatten(1, 2)
                result[bias.name] = unfolded.movedim(1, bias.dim + 1)
                start += bias.width
        return {name: result[name] for name in self.spec.axes}


def view(params: Mapping[str, Tensor], spec: SymmetrySpec) -> DenseView:
    """Dense node and edge features of stacked parameters ``[b, *shape]``.

    Raises:
        SpecMismatch: if the parameters do not fit the spec or are not stacked.
        SpecError: if the spec holds a parameter that is neither a weight nor a bias.
    """
    if spec.check(params) is None:
        raise SpecMismatch(
            "a view reads stacked networks [b, *shape], got a single one. "
            "Stack it: {name: value[None] for name, value in params.items()}."
        )
    plan = layout(spec)
    nodes: dict[str, Tensor] = {}
    for space in spec.spaces:
        parts = []
        for bias in plan.biases_of(space.name):
            value = params[bias.name].movedim(bias.dim + 1, 1)
            parts.append(value.reshape(value.shape[0], space.size, bias.width))
        if parts:
            nodes[space.name] = torch.cat(parts, -1)
    edges = {weight.name: _to_edges(params[weight.name], weight, spec) for weight in plan.weights}
    return DenseView(spec, nodes, edges, {name: params[name] for name in plan.rest})


def _to_edges(value: Tensor, weight: Weight, spec: SymmetrySpec) -> Float[Tensor, "b m n k"]:
    split, order = _unfolding(weight, spec)
    value = value.reshape(value.shape[0], *split).permute(order)
    return value.reshape(*value.shape[:3], weight.width)


def _from_edges(value: Float[Tensor, "b m n k"], weight: Weight, spec: SymmetrySpec) -> Tensor:
    split, order = _unfolding(weight, spec)
    permuted = [value.shape[0], *(split[dim - 1] for dim in order[1:])]
    back = [order.index(dim) for dim in range(len(order))]
    return value.reshape(permuted).permute(back).reshape(value.shape[0], *spec.shape(weight.name))


def _unfolding(weight: Weight, spec: SymmetrySpec) -> tuple[list[int], list[int]]:
    """Sizes of the parameter's axes split into (neurons, repeat), and the order target, source, all others."""
    split = []
    for axis in spec.plain_axes(weight.name):
        split += [spec.space[axis.space].size if axis.space is not None else 1, axis.repeat]
    target, source = 1 + 2 * weight.target_dim, 1 + 2 * weight.source_dim
    others = [dim for dim in range(1, len(split) + 1) if dim not in (target, source)]
    return split, [0, target, source, *others]
