"""The metanetworks once more, from the mathematics and slowly: one network as an explicit list of edges.

Shares nothing with the dense implementation but the learned parameters, read from its ``state_dict`` by name.
Every edge is a row: a target, a source, a vector. Messages are gathered by source and added by target index.
"""

from collections.abc import Callable

import torch
from edge_list import POSITIVE, EdgeList, Edges, placed
from metanets import Choice, Params
from torch import Tensor
from torch.nn.functional import layer_norm, silu

from weightspace.spec import SymmetrySpec

WITHOUT_POSITIVE = {"trivial": "trivial", "positive": "trivial", "sign": "sign", "nonzero": "sign"}


class Twin:
    """A functional or an operator of one network at a time.

    Args:
        spec: Architecture read.
        choice: Options of the metanetwork.
        rounds: Rounds of message passing.
        learned: Its ``state_dict``.
    """

    def __init__(self, spec: SymmetrySpec, choice: Choice, rounds: int, learned: Params) -> None:
        self.spec, self.choice, self.rounds, self.learned = spec, choice, rounds, learned
        self.graph = EdgeList(spec)
        self.divides = choice.positive == "normal_form"
        self.groups = {name: WITHOUT_POSITIVE[g] if self.divides else g for name, g in self.graph.groups.items()}

    # -- learned maps ---------------------------------------------------------------------------------------

    def linear(self, name: str, x: Tensor) -> Tensor:
        out = x @ self.learned[f"{name}.weight"].T
        bias = self.learned.get(f"{name}.bias")
        return out if bias is None else out + bias

    def mlp(self, name: str, x: Tensor) -> Tensor:
        return self.linear(f"{name}.second", silu(self.linear(f"{name}.first", x)))

    def invariant(self, name: str, group: str, x: Tensor) -> Tensor:
        if group == "trivial":
            return x
        if group in POSITIVE:
            zero = (x == 0).all(-1, keepdim=True)  # stays zero
            x = x / x.masked_fill(zero, 1.0).square().mean(-1, keepdim=True).sqrt()
            name = f"{name}.flip"
        if group == "positive":
            return x
        if self.choice.sign == "absolute":
            return x.abs()
        return self.mlp(name, x) + self.mlp(name, -x)

    def vertex_map(self, name: str, group: str, x: Tensor) -> Tensor:
        name = f"{name}.{group}"
        if not any(key.startswith(f"{name}.") for key in self.learned):
            return x.new_zeros(len(x), len(self.learned["backbone.embed.context.bias"]))  # nobody reads them
        if group == "trivial":
            return self.mlp(name, x)
        return self.linear(f"{name}.linear", x) * (
            1 + self.mlp(f"{name}.gate.mlp", self.invariant(f"{name}.gate.invariant", group, x))
        )

    def by_group(self, nodes: Tensor, fn: Callable[[str, Tensor], Tensor]) -> Tensor:
        """``fn(group, rows)`` on the rows that live on nodes of each group, put together again."""
        group_of = [group for space, group in self.groups.items() for _ in self.graph.nodes[space]]
        parts, order = [], []
        for group in sorted(set(group_of)):
            rows = torch.tensor(
                [k for k, node in enumerate(nodes.tolist()) if group_of[node] == group], dtype=torch.long
            )
            if len(rows):
                parts.append(fn(group, rows))
                order.append(rows)
        return torch.cat(parts)[torch.cat(order).argsort()]

    def norm(self, name: str, x: Tensor, s: Tensor) -> Tensor:
        """Divided by the root mean square of the space, in units of the gauge."""
        out = torch.zeros_like(x)
        for nodes in self.graph.nodes.values():
            z = x[nodes] / s[nodes].unsqueeze(1)
            z = z / (z.square().mean() + 1e-6).sqrt() * self.learned[f"{name}.gain"]
            out = out.index_put((torch.tensor(nodes),), z * s[nodes].unsqueeze(1))
        return out

    # -- states ---------------------------------------------------------------------------------------------

    def embed(self, params: Params, units: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        logs = torch.stack([(units[space.name] + 1e-12).log() for space in self.spec.spaces]).clamp(-5, 5)
        context = self.linear("backbone.embed.context", logs)
        nodes = []
        for space in self.spec.spaces:
            key = _key(space.name)
            parts = [
                params[name].reshape(-1)[entries] for name, home, entries in self.graph.biases if home == space.name
            ]
            position = self.learned[f"backbone.embed.positions.{key}"]
            x = torch.zeros(space.size, position.shape[1], dtype=torch.float64)
            if parts:
                x = self.linear(f"backbone.embed.biases.{key}", torch.cat(parts, 1) / units[space.name])
            nodes.append(x + position + context if self.groups[space.name] == "trivial" else x * position)
        edges = []
        for w in self.graph.edges:
            value = params[w.name].reshape(-1)[w.entries] / units[w.target_space]
            edges.append(self.linear(f"backbone.embed.weights.{_key(w.name)}", value))
        return torch.cat(nodes), edges

    def messages(self, name: str, x: Tensor, edges: list[Tensor], s: Tensor, ahead: bool) -> Tensor:
        """Per weight: sum over the senders of a receiver, over the square root of their number."""
        total = torch.zeros_like(x)
        for weight, e in zip(self.graph.edges, edges, strict=True):
            senders, receivers = (weight.sources, weight.targets) if ahead else (weight.targets, weight.sources)
            sent = x[senders] if ahead else x[senders] / s[senders].unsqueeze(1) ** 2
            product = self.linear(f"{name}.join.node", sent) * self.linear(f"{name}.join.edge", e)
            m = self.by_group(
                receivers, lambda g, rows, product=product: self.vertex_map(f"{name}.maps", g, product[rows])
            )
            if not ahead:
                m = m * s[receivers].unsqueeze(1) ** 2
            fan = int((receivers == receivers[0]).sum())
            total = total.index_add(0, receivers, m / fan**0.5)
        return total

    def round(self, name: str, x: Tensor, edges: list[Tensor], s: Tensor) -> tuple[Tensor, list[Tensor]]:
        normed = self.norm(f"{name}.norms.0", x, s)
        parts = [normed]
        for index, way in enumerate(["ahead", "back"][: 1 + (self.choice.direction == "bidirectional")], start=1):
            arrived = self.messages(f"{name}.messages.{way}", normed, edges, s, way == "ahead")
            parts.append(self.norm(f"{name}.norms.{index}", arrived, s))
        seen = torch.cat(parts, 1)
        everyone = torch.arange(self.graph.num_nodes)
        new = x + self.by_group(everyone, lambda g, rows: self.vertex_map(f"{name}.updates", g, seen[rows]))
        if not any(key.startswith(f"{name}.edge_updates") for key in self.learned):
            return new, edges  # nobody reads them
        return new, [self.edge_update(name, w, e, normed, s) for w, e in zip(self.graph.edges, edges, strict=True)]

    def edge_update(self, name: str, w: Edges, e: Tensor, x: Tensor, s: Tensor) -> Tensor:
        groups, (x_i, x_j) = (self.groups[w.target_space], self.groups[w.source_space]), (x[w.targets], x[w.sources])
        if groups == ("trivial", "trivial"):
            name = f"{name}.edge_updates.plain"
            ends = self.linear(f"{name}.from_target", x_i) + self.linear(f"{name}.from_source", x_j)
            change = self.linear(f"{name}.out", silu(self.linear(f"{name}.edge", e) + ends))
        else:
            name = f"{name}.edge_updates.scaled"
            seen_i, seen_j = (
                self.invariant(f"{name}.invariants.{g}", g, z) for g, z in zip(groups, (x_i, x_j), strict=True)
            )
            ends = self.linear(f"{name}.target_gate", seen_i) + self.linear(f"{name}.source_gate", seen_j)
            change = self.linear(f"{name}.linear", e) * self.linear(f"{name}.gate", silu(ends))
        inverse = x_j / s[w.sources].unsqueeze(1) ** 2
        return e + change + self.linear(f"{name}.target", x_i) * self.linear(f"{name}.source", inverse)

    # -- models ---------------------------------------------------------------------------------------------

    def run(self, params: Params) -> tuple[Tensor, list[Tensor], Tensor, dict[str, Tensor], Tensor, Params]:
        """Final states, the gauge they live in, the units, the true neuron gauge and the normal form."""
        truth = self.graph.neuron_gauge(params)
        normal = self.graph.rescaled(params, truth)
        units = self.graph.units(normal)
        s = torch.ones_like(truth) if self.divides else truth
        x, edges = self.embed(normal if self.divides else params, units)
        for index in range(self.rounds):
            x, edges = self.round(f"backbone.rounds.{index}", x, edges, s)
        return x, edges, s, units, truth, normal

    def functional(self, params: Params) -> Tensor:
        x, _, s, *_ = self.run(params)
        x = self.norm("readout.norm", x, s)
        feeding = {w.source_space for w in self.graph.edges}
        pooled, read = [], []
        for space in self.spec.spaces:
            mine, name = x[self.graph.nodes[space.name]], f"readout.pools.{_key(space.name)}"
            if space.fixed and space.name not in feeding:
                read.append(mine.reshape(-1))
            else:
                pooled.append(
                    self.mlp(f"{name}.mlp", self.invariant(f"{name}.invariant", self.groups[space.name], mine)).mean(0)
                )
        features = torch.cat([*pooled, *read])
        features = layer_norm(
            features, features.shape, self.learned["readout.head.0.weight"], self.learned["readout.head.0.bias"]
        )
        return self.mlp("readout.head.1", features)

    def delta(self, params: Params) -> Params:
        x, edges, s, units, truth, normal = self.run(params)
        back = truth if self.divides else torch.ones_like(truth)
        relevance = self.graph.relevance(normal)
        x = self.norm("readout.norm", x, s)
        changes = {name: torch.zeros_like(value) for name, value in params.items()}
        for index, (w, e) in enumerate(zip(self.graph.edges, edges, strict=True)):
            step = self.learned["readout.edge_steps"][index] * units[w.target_space]
            value = self.linear(f"readout.edge_heads.{index}", e) * step
            value = value * (back[w.targets] / back[w.sources] * relevance[w.sources]).unsqueeze(1)
            changes[w.name] = placed(changes[w.name], w.entries, value)
        biased = [
            space.name for space in self.spec.spaces if any(home == space.name for _, home, _ in self.graph.biases)
        ]
        for index, space in enumerate(biased):
            step = self.learned["readout.node_steps"][index] * units[space]
            nodes = self.graph.nodes[space]
            value = self.linear(f"readout.node_heads.{_key(space)}", x[nodes]) * step * back[nodes].unsqueeze(1)
            start = 0
            for name, home, entries in self.graph.biases:
                if home == space:
                    changes[name] = placed(changes[name], entries, value[:, start : start + entries.shape[1]])
                    start += entries.shape[1]
        return changes


def _key(name: str) -> str:
    return "@" + name.replace(".", "/")
