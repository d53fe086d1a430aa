"""Parts of the published model by role code: allocated as the release does, and filled with reproducible numbers.

In round ``r`` the base is ``B = 100 (r + 1)``, plus 20 for backward messages, 40 for vertex updates, 60 and 80 for
forward and backward edge updates; on top of a base: 1 and 2 linears of sender and edge, 3 the equivariant linear, 4
the gate, 5 the sign symmetrization, 6 and 7 the MLPs on inputs and outputs (6 on both if they share one), 8 the gate
of positive scales in hetero (edge updates have one gate for both groups). ``B + 99`` is the skip. Projections and
positions are 1 to 4, the read-out 10 to 15. Without groups the MLPs are the gates, and there is no other part.
"""

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from published_twin_graph import Graph
from torch import Tensor, nn

from weightspace.nn.published._presets import Preset

Parts = dict[int | str, nn.Module | nn.Parameter]


@final
class Mlp(nn.Module):
    """Linear, LayerNorm if wanted, SiLU, dropout, linear."""

    def __init__(self, width: int, hidden: int, out: int, *, norm: bool, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(hidden, out)

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b o"]:
        return self.second(self.dropout(nn.functional.silu(self.norm(self.first(x)))))


def allocate(preset: Preset, graph: Graph) -> tuple[nn.ModuleDict, nn.ParameterDict]:
    """Modules and tables by role code, those that nothing will ever select included."""
    allocation = _Allocation(preset, graph)
    allocation.everything()
    return allocation.coded, allocation.tables


@torch.no_grad()
def fill(parts: Mapping[int | str, nn.Module | nn.Parameter]) -> None:
    """Write to every part the numbers of its role code; operator scales have the codes ``alpha`` and ``beta``.

    Modules are linears, or MLPs with ``first``, ``norm`` (a LayerNorm or without weights) and ``second``.
    """
    for code, part in parts.items():
        if isinstance(part, nn.Parameter):
            part.copy_(_table(code, part))
        elif isinstance(part, nn.Linear):
            _fill_linear(part, float(code))
        else:
            _fill_linear(part.get_submodule("first"), float(code))
            _fill_linear(part.get_submodule("second"), float(code) + 0.5)
            norm = part.get_submodule("norm")
            if isinstance(norm, nn.LayerNorm):
                angle = _range(norm.weight, 0) + float(code) + 0.25
                norm.weight.copy_(1 + 0.1 * angle.sin())
                norm.bias.copy_(0.1 * angle.cos())


@final
class _Allocation:
    def __init__(self, preset: Preset, graph: Graph) -> None:
        self.preset, self.graph = preset, graph
        self.gauged = preset.group != "permutation"
        self.operator = preset.readout == "operator"
        self.both = preset.direction == "bidirectional"
        self.symmetrized = preset.group in ("sign", "hetero") and preset.sign == "symmetrized"
        self.coded = nn.ModuleDict()
        self.tables = nn.ParameterDict()

    def everything(self) -> None:
        p, graph, d = self.preset, self.graph, self.preset.width
        self._linear(1, 1, d)
        self._linear(2, graph.kernel, d)
        self.tables["3"] = nn.Parameter(torch.randn(graph.num_vertex_types, d))
        if p.edge_positions:
            self.tables["4"] = nn.Parameter(torch.randn(graph.num_edge_types, d))
        for number in range(p.rounds):
            base, last = 100 * (number + 1), number == p.rounds - 1
            vertex_out, edge_out = (1, graph.kernel) if last and self.operator else (d, d)
            directions = 2 if self.both else 1
            for message in (base, base + 20)[:directions]:
                if self.gauged:
                    self._linear(message + 1, d, d)
                    self._linear(message + 2, d, d)
                    self._block(message, d, d)
                else:
                    self._mlp(message + 4, 2 * d, d)
            if self.gauged:
                self._block(base + 40, (1 + directions) * d, vertex_out)
            else:
                self._mlp(base + 44, (1 + directions) * d, vertex_out)
            if not last or self.operator:
                self._edges(base + 60, edge_out)
                if self.both and p.group == "positive":
                    self._edges(base + 80, edge_out)
            if p.skip and not (last and self.operator):
                self._linear(base + 99, d, d)
        if self.operator:
            for name in ("alpha", "beta"):
                self.tables[name] = nn.Parameter(torch.full((len(graph.weights),), 0.01))
        else:
            self._readout()

    def _block(self, base: int, width: int, out: int) -> None:
        extra = self.preset.width if self.preset.positions_in_messages else 0
        self._linear(base + 3, width, out)
        self._gate(base, width, width + extra, out)
        if self.preset.group == "hetero":
            self._mlp(base + 8, width + extra, out)
        self._mlp(base + 6, width + extra, out)
        if self.preset.io == "separate":
            self._mlp(base + 7, width + extra, out)

    def _edges(self, base: int, out: int) -> None:
        d = self.preset.width
        if self.gauged:
            self._linear(base + 3, d, out)
            self._gate(base, d, 2 * d, out)
        else:
            self._mlp(base + 4, 3 * d, out)

    def _gate(self, base: int, canonical: int, width: int, out: int) -> None:
        self._mlp(base + 4, width, out)
        if self.symmetrized:
            self._mlp(base + 5, canonical, canonical)

    def _readout(self) -> None:
        p, d = self.preset, self.preset.width
        inputs, outputs = self.graph.sizes[0] * d, self.graph.sizes[-1] * d
        if p.readout == "full_graph":
            if self.gauged:
                self._gate(9, d, d, d)
            else:
                self._mlp(13, d, d)
            self._mlp(15, d + inputs + outputs if self.gauged else d, p.out)
        elif self.both:
            self.coded["11"], self.coded["12"] = nn.Linear(inputs, d), nn.Linear(outputs, d)
            self._mlp(10, 2 * d, p.out)
        else:
            self._mlp(10, outputs, p.out)

    def _linear(self, code: int, width: int, out: int) -> None:
        self.coded[str(code)] = nn.Linear(width, out, bias=False)

    def _mlp(self, code: int, width: int, out: int) -> None:
        p = self.preset
        self.coded[str(code)] = Mlp(width, p.width, out, norm=p.norm, dropout=p.mlp_dropout)


def _fill_linear(linear: nn.Module, code: float) -> None:
    assert isinstance(linear, nn.Linear), "a part is a linear or an MLP of two"
    o, i = _range(linear.weight, 0), _range(linear.weight, 1)
    linear.weight.copy_(0.6 * torch.sin(1 + 0.37 * o[:, None] + 0.71 * i + 1.13 * code))
    if linear.bias is not None:
        linear.bias.copy_(0.3 * torch.cos(0.5 * o + 0.9 * code))


def _table(code: int | str, like: Tensor) -> Tensor:
    """Operator scales per layer, or positions per type and channel."""
    types = _range(like, 0)
    if isinstance(code, str):
        return {"alpha": 0.5, "beta": 0.3}[code] + 0.1 * types
    return torch.cos(0.4 * types[:, None] + 0.9 * _range(like, 1) + 0.2 * code)


def _range(like: Tensor, dim: int) -> Tensor:
    # In float64 whatever the model has: large angles would lose their digits.
    return torch.arange(like.shape[dim], dtype=torch.float64, device=like.device)
