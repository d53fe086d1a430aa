"""One network as an explicit list of edges, with its neuron gauge: the ground on which the slow twin walks."""

from dataclasses import dataclass

import torch
from metanets import Params
from torch import Tensor

from weightspace.spec import Axis, SymmetrySpec

POSITIVE = ("positive", "nonzero")


@dataclass
class Edges:
    """The edges of one parameter: node numbers of their ends, and the entries of the parameter they own."""

    name: str
    target_space: str
    source_space: str
    targets: Tensor
    sources: Tensor
    entries: Tensor


class EdgeList:
    """The graph of a spec: numbered nodes, edges, biases, and who owns which entry of a parameter."""

    def __init__(self, spec: SymmetrySpec) -> None:
        self.spec = spec
        self.nodes: dict[str, list[int]] = {}
        for space in spec.spaces:
            start = sum(map(len, self.nodes.values()))
            self.nodes[space.name] = list(range(start, start + space.size))
        self.num_nodes = sum(map(len, self.nodes.values()))
        self.groups = {space.name: "trivial" if space.fixed else space.scale for space in spec.spaces}
        self.edges: list[Edges] = []
        self.biases: list[tuple[str, str, Tensor]] = []  # name, space, entries [n, width]
        for name, axes in spec.params:
            dims = {axis.power: dim for dim, axis in enumerate(axes) if axis.space is not None}
            shape = torch.Size(spec.shape(name))
            positions = torch.arange(shape.numel()).reshape(shape)  # of the entries in memory
            if -1 in dims:
                self._add_weight(name, axes, dims, positions)
            elif dims:
                space = str(axes[dims[1]].space)
                parts = positions.chunk(len(self.nodes[space]), dims[1])
                self.biases.append((name, space, torch.stack([part.reshape(-1) for part in parts])))

    def _add_weight(self, name: str, axes: tuple[Axis, ...], dims: dict[int, int], positions: Tensor) -> None:
        target, source = str(axes[dims[1]].space), str(axes[dims[-1]].space)
        rows, ends = [], []
        for i, of_target in enumerate(positions.chunk(len(self.nodes[target]), dims[1])):
            for j, of_both in enumerate(of_target.chunk(len(self.nodes[source]), dims[-1])):
                rows.append(of_both.reshape(-1))
                ends.append((self.nodes[target][i], self.nodes[source][j]))
        targets, sources = torch.tensor(ends).unbind(1)
        self.edges.append(Edges(name, target, source, targets, sources, torch.stack(rows)))

    def neuron_gauge(self, params: Params) -> Tensor:
        """s_i^2 = b_i^2 + sum_j (|W_ij| s_j)^2 where positive scales act, else 1; neuron by neuron."""
        s = [torch.ones((), dtype=torch.float64)] * self.num_nodes
        for space in self.spec.spaces:
            if self.groups[space.name] not in POSITIVE:
                continue
            for index, node in enumerate(self.nodes[space.name]):
                square = torch.zeros((), dtype=torch.float64)
                for name, home, entries in self.biases:
                    if home == space.name:
                        square = square + params[name].reshape(-1)[entries[index]].square().sum()
                for weight in self.edges:
                    for row in (weight.targets == node).nonzero().flatten().tolist():
                        values = params[weight.name].reshape(-1)[weight.entries[row]]
                        square = square + values.square().sum() * s[int(weight.sources[row])] ** 2
                s[node] = square.sqrt()
        return torch.stack(s)

    def rescaled(self, params: Params, s: Tensor) -> Params:
        """Weights times s_j / s_i, biases over s_i."""
        result = dict(params)
        for weight in self.edges:
            factor = (s[weight.sources] / s[weight.targets]).unsqueeze(1)
            result[weight.name] = self._written(params[weight.name], weight.entries, factor)
        for name, space, entries in self.biases:
            result[name] = self._written(params[name], entries, 1 / s[self.nodes[space]].unsqueeze(1))
        return result

    def relevance(self, normal: Params) -> Tensor:
        """r / (r + 0.1) where positive scales act, else 1; r the length of what a neuron's fan-out passes on, over
        its space's RMS: every weight counts with the relevance of the neuron that it reaches."""
        passed = torch.ones(self.num_nodes, dtype=torch.float64)
        for space in reversed(self.spec.spaces):
            out = [weight for weight in self.edges if weight.source_space == space.name]
            if space.fixed or not out:
                continue
            square = torch.zeros(self.num_nodes, dtype=torch.float64)
            for weight in out:
                values = normal[weight.name].reshape(-1)[weight.entries].square().sum(1)
                square = square.index_add(0, weight.sources, values * passed[weight.targets].square())
            nodes = torch.tensor(self.nodes[space.name])
            r = (square[nodes] / square[nodes].mean()).sqrt()
            passed = passed.index_put((nodes,), r / (r + 0.1))
        acted = torch.zeros(self.num_nodes, dtype=torch.bool)
        for space, nodes in self.nodes.items():
            acted[nodes] = self.groups[space] in POSITIVE
        return passed.where(acted, 1.0)

    def _written(self, value: Tensor, entries: Tensor, factor: Tensor) -> Tensor:
        factors = torch.zeros(value.numel(), dtype=value.dtype)
        factors = factors.index_put((entries.reshape(-1),), factor.expand(entries.shape).reshape(-1))
        return value * factors.reshape(value.shape)

    def units(self, normal: Params) -> dict[str, Tensor]:
        """Root mean square of the weights into a space, of its biases if it has none, else 1; of the normal form."""
        units = {}
        for space in self.spec.spaces:
            into = [w.name for w in self.edges if w.target_space == space.name]
            into = into or [name for name, home, _ in self.biases if home == space.name]
            values = [normal[name].reshape(-1) for name in into] or [torch.ones(1, dtype=torch.float64)]
            units[space.name] = torch.cat(values).square().mean().sqrt()
        return units


def placed(zeros: Tensor, entries: Tensor, values: Tensor) -> Tensor:
    """``values`` written to their entries of a parameter."""
    return zeros.reshape(-1).index_put((entries.reshape(-1),), values.reshape(-1)).reshape(zeros.shape)
