"""The published ScaleGMN as a slow edge-list model: baseline of benchmarks and oracle of the fast one.

Written from the description of the method, and as wasteful as the release is described to be: linears on gathered
per-edge copies of vertex states, hidden and input/output branches on every edge and vertex and then a mask, both
branches of hetero on every network, and every sum over edges by index. No work is added to that.

Source: Kalogeropoulos et al. 2024, arXiv:2406.10685.
"""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Bool, Float
from published_twin_graph import Graph, Params
from published_twin_parts import Parts, allocate
from torch import Tensor, nn

from weightspace.nn.published._presets import Preset
from weightspace.spec import SymmetrySpec


@final
class Twin(nn.Module):
    """A published configuration on chains of ``spec``.

    Args:
        preset: The configuration; its ``layout`` and ``kernel`` are not read.
        spec: Architecture of the networks.
        backward_edges: Raw features of reversed edges: ``as_released`` those of the edges, else ``gauge``
            (times squared ratios of gauge lengths) or ``reciprocal``.
        epsilon: Added to the norms that positive scales are removed by.
    """

    def __init__(
        self, preset: Preset, spec: SymmetrySpec, *, backward_edges: str = "as_released", epsilon: float = 1e-10
    ) -> None:
        super().__init__()
        self.preset, self.backward_edges, self.epsilon = preset, backward_edges, epsilon
        self.graph = Graph(spec)
        self.gauged = preset.group != "permutation"
        self.operator = preset.readout == "operator"
        self.both = preset.direction == "bidirectional"
        self.coded, self.tables = allocate(preset, self.graph)

    @property
    def parts(self) -> Parts:
        """Every part by its role code; operator scales are ``alpha`` and ``beta``."""
        tables = {int(code) if code.isdigit() else code: table for code, table in self.tables.items()}
        return {int(code): part for code, part in self.coded.items()} | tables

    def forward(
        self, params: Mapping[str, Tensor], positive: Bool[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b o"] | Params:
        """A vector per network, or an operator's changes of the parameters.

        Args:
            params: Stacked networks.
            positive: Networks with positive scales, for ``hetero`` only; the others have signs.
        """
        if (positive is None) == (self.preset.group == "hetero"):
            raise ValueError(f"positive goes with the group hetero and no other, the group is {self.preset.group!r}.")
        graph = self.graph
        raw_x, raw_e = graph.read(params, self.preset.input_feature)
        x = self._located(self._part(1, raw_x))
        e = self._typed(self._part(2, raw_e))
        back = None
        if self.both:
            back = self._typed(self._part(2, graph.reversed_edges(raw_x, raw_e, self.backward_edges)))
        for number in range(self.preset.rounds):
            x, e, back = self._round(number, x, e, back, positive)
        if not self.operator:
            return self._read_out(x, positive)
        pair, layer = graph.layer[graph.source], graph.layer
        # Inputs have no scale of their own: whatever they get here is dropped.
        change = x * self.tables["beta"][(layer - 1).clamp(min=0)][:, None]
        return graph.write(change, e * self.tables["alpha"][pair][:, None], params)

    def _part(self, code: int, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b o"]:
        return self.coded[str(code)](x)

    def _located(self, x: Float[Tensor, "b v c"]) -> Float[Tensor, "b v c"]:
        position = self.tables["3"][self.graph.vertex_type]
        if not self.gauged:
            return x + position
        if self.preset.io_positions == "product":
            return x * position
        return torch.where(self._hidden(), x * position, x + position)

    def _typed(self, e: Float[Tensor, "b e c"]) -> Float[Tensor, "b e c"]:
        if not self.preset.edge_positions:
            return e
        position = self.tables["4"][self.graph.edge_type]
        return e * position if self.gauged else e + position

    def _hidden(self) -> Bool[Tensor, "v 1"]:
        layer = self.graph.layer[:, None]
        return (layer > 0) & (layer < len(self.graph.sizes) - 1)

    def _round(
        self, number: int, x: Tensor, e: Tensor, back: Tensor | None, positive: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        p, base, last = self.preset, 100 * (number + 1), number == self.preset.rounds - 1
        source, target = self.graph.source, self.graph.target
        state = [x, self._aggregate(base, x, e, source, target, positive)]
        if back is not None:
            state.append(self._aggregate(base + 20, x, back, target, source, positive))
        vertices = torch.arange(len(self.graph.layer), device=x.device)
        if self.gauged:
            updated = self._block(base + 40, torch.cat(state, -1), vertices, vertices, positive)
        else:
            updated = self._part(base + 44, torch.cat(state, -1))
        if not last or self.operator:
            e = self._edge_update(base + 60, x, e, source, target, positive)
            if back is not None and p.group == "positive":
                back = self._edge_update(base + 80, x, back, target, source, positive)
        if p.skip and not (last and self.operator):
            updated = self._part(base + 99, x) + updated
        return nn.functional.dropout(updated, p.dropout, self.training), e, back

    def _aggregate(
        self, base: int, x: Tensor, e: Tensor, sender: Tensor, receiver: Tensor, positive: Tensor | None
    ) -> Float[Tensor, "b v c"]:
        if self.gauged:
            product = self._part(base + 1, x[:, sender]) * self._part(base + 2, e)
            message = self._block(base, product, receiver, sender if self.both else receiver, positive)
        else:
            message = self._part(base + 4, torch.cat([e, x[:, sender]], -1))
        return torch.zeros_like(x).index_add(1, receiver, message)

    def _edge_update(
        self, base: int, x: Tensor, e: Tensor, source: Tensor, target: Tensor, positive: Tensor | None
    ) -> Float[Tensor, "b e c"]:
        if not self.gauged:
            return self._part(base + 4, torch.cat([e, x[:, source], x[:, target]], -1))
        ends = [self._canonical(base, x[:, end], positive) for end in (source, target)]
        return self._part(base + 3, e) * self._part(base + 4, torch.cat(ends, -1))

    def _block(
        self, base: int, x: Float[Tensor, "b r c"], at: Tensor, positions_of: Tensor, positive: Tensor | None
    ) -> Float[Tensor, "b r o"]:
        """The equivariant map of rows located at the vertices ``at``, and its stand-ins on inputs and outputs."""
        extra = []
        if self.preset.positions_in_messages:
            position = self.tables["3"][self.graph.vertex_type[positions_of]]
            extra = [position.expand(len(x), -1, -1)]
        linear, seen = self._part(base + 3, x), torch.cat([x, *extra], -1)
        hidden = self._hidden()[at].to(x.dtype)
        result = hidden * (linear * self._gate(base, x, extra, positive))
        if self.preset.io == "gated":
            return result + (1 - hidden) * (linear * self._part(base + 6, seen))
        if self.preset.io == "shared":
            return result + (1 - hidden) * self._part(base + 6, seen)
        inputs = (self.graph.layer[at] == 0)[:, None].to(x.dtype)
        outputs = 1 - hidden - inputs
        return result + inputs * self._part(base + 6, seen) + outputs * self._part(base + 7, seen)

    def _gate(self, base: int, x: Tensor, extra: Sequence[Tensor], positive: Tensor | None) -> Float[Tensor, "b r o"]:
        """An MLP of what the group leaves of ``x``; in hetero one for each group, then a mask."""
        if positive is None:
            return self._part(base + 4, torch.cat([self._canonical(base, x, None), *extra], -1))
        signed = self._part(base + 4, torch.cat([self._unsigned(base, x), *extra], -1))
        scaled = self._part(base + 8, torch.cat([self._unscaled(x), *extra], -1))
        return _select(positive, scaled, signed)

    def _canonical(self, base: int, x: Float[Tensor, "b r c"], positive: Tensor | None) -> Float[Tensor, "b r c"]:
        """What the group leaves of ``x``; in hetero computed for both, then a mask."""
        if positive is not None:
            return _select(positive, self._unscaled(x), self._unsigned(base, x))
        return self._unsigned(base, x) if self.preset.group == "sign" else self._unscaled(x)

    def _unsigned(self, base: int, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return self._part(base + 5, x) + self._part(base + 5, -x) if self.preset.sign == "symmetrized" else x.abs()

    def _unscaled(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + self.epsilon)

    def _read_out(self, x: Float[Tensor, "b v c"], positive: Tensor | None) -> Float[Tensor, "b o"]:
        sizes = self.graph.sizes
        hidden = x[:, sizes[0] : -sizes[-1]]
        inputs, outputs = x[:, : sizes[0]].flatten(1), x[:, -sizes[-1] :].flatten(1)
        if self.preset.readout == "full_graph":
            if not self.gauged:
                return self._part(15, self._part(13, x).sum(1))
            pooled = self._part(13, self._canonical(9, hidden, positive)).sum(1)
            return self._part(15, torch.cat([pooled, inputs, outputs], -1))
        if self.both:
            outputs = torch.cat([self._part(12, outputs), self._part(11, inputs)], -1)
        return self._part(10, outputs)


def _select(positive: Bool[Tensor, " b"], yes: Float[Tensor, "b r c"], no: Float[Tensor, "b r c"]) -> Tensor:
    mask = positive[:, None, None].to(yes.dtype)
    return mask * yes + (1 - mask) * no
