"""Messages of one round: every block of weights times the states of the field it reads, ahead and back.

In units of its layer a weight matrix moves with the signs of both its ends, so ``E X_source`` moves with the target
and ``E^T X_target`` with the source: the arithmetic of a forward and a backward pass, on ``c`` channels at once.
Squared weights carry even things the same way.
"""

from math import gcd
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...view import Field, MatrixView
from ._nodes import Arc, Link, Nodes, fan
from ._reading import Reading

HEADS = 8
"""Groups of channels that see a kernel's taps mixed in ways of their own."""

Direction = Literal["forward", "bidirectional"]
"""Whether messages also travel from outputs to inputs."""


@final
class Messages(nn.Module):
    """Sums that arrive at every row, over the square root of how many numbers they are sums of (even: over it).

    Args:
        view: Blocks of the networks.
        nodes: Fields of the networks.
        width: Channels of a message.
        direction: Forward or both ways.
        even: Magnitudes of hubs' states and not the states.
        weights: Send them along the weights (squared, if even), not along links alone.
        width_in: Channels of a state, if they are not ``width``.
    """

    def __init__(
        self,
        view: MatrixView,
        nodes: Nodes,
        width: int,
        direction: Direction,
        *,
        even: bool,
        weights: bool = True,
        width_in: int | None = None,
    ) -> None:
        super().__init__()
        self.arcs = [arc for arc in nodes.arcs if weights and not (even and arc.second)]
        self.links = [link for link in nodes.links if link.even is even]
        self.view, self.nodes, self.width, self.even = view, nodes, width, even
        self.ways = 2 if direction == "bidirectional" else 1
        # The receiver maps channels anyhow, and weights do not mix them: only magnitudes are mapped before they travel.
        self.map = nn.Linear(width_in or width, self.ways * width, bias=False) if even else None
        self.gains = nn.Parameter(1 + 0.3 * torch.randn(len(nodes.fields), self.ways * width))
        # Taps are told apart by learned vectors, one for each head of channels; where there is one, its gain is that
        # of the field. Mixing the taps of a kernel first leaves products as small as those of a dense layer: with a
        # vector for each channel the states would be as many times larger as there are taps.
        self.heads = gcd(HEADS, width)
        self.taps = nn.ParameterDict(
            {
                str(arc.block): torch.randn(view.blocks[arc.block].taps, self.ways, self.heads)
                for arc in self.arcs
                if view.blocks[arc.block].taps > 1
            }
        )
        self.scale = self._scales()

    def forward(self, x: Float[Tensor, "b n c"], reading: Reading) -> Float[Tensor, "b n w"]:
        """The messages, those ahead before those back."""
        gains = self.gains[self.nodes.field_of[: x.shape[1]]].split(self.width, -1)
        states = [x] * self.ways if self.map is None else nn.functional.silu(self.map(x)).split(self.width, -1)
        ways = [self.nodes.split(one * gain) for one, gain in zip(states, gains, strict=True)]
        arrived: list[dict[Field, list[Tensor]]] = [{} for _ in ways]
        matrices = reading.squares if self.even else reading.flat
        for arc in self.arcs:
            self._along(arc, ways, matrices, reading, arrived)
        for link in self.links:
            self._across(link, ways, arrived)
        rows = [torch.cat([self._sum(x, way, field) for field in ways[0]], 1) for way in arrived]
        return torch.cat(rows, -1) if self.ways > 1 else rows[0]

    def _across(self, link: Link, ways: list[dict[Field, Tensor]], arrived: list[dict[Field, list[Tensor]]]) -> None:
        """A neuron tells those that belong to it, and hears their mean."""
        table, num = self.nodes.table(link), self.nodes.rows[link.parent][1]
        child, parent = ways[-1][link.child], ways[0][link.parent]
        arrived[0].setdefault(link.child, []).append(parent[:, table] * self.scale[link.child][0])
        total = child.new_zeros(len(child), num, self.width).index_add(1, table, child)
        mean = total * (num / len(table) * self.scale[link.parent][-1])
        arrived[-1].setdefault(link.parent, []).append(mean)

    def _sum(self, x: Tensor, way: dict[Field, list[Tensor]], field: Field) -> Tensor:
        found = way.get(field, [])
        if not found:
            return x.new_zeros(len(x), self.nodes.rows[field][1], self.width)
        total = found[0]
        for one in found[1:]:
            total = total + one
        return total

    def _ends(self, arc: Arc) -> tuple[Field, ...]:
        return tuple(self.nodes.hubs[end.root] for end in arc.ends) if self.even else arc.ends

    def _along(
        self,
        arc: Arc,
        ways: list[dict[Field, Tensor]],
        matrices: dict[int, Tensor],
        reading: Reading,
        arrived: list[dict[Field, list[Tensor]]],
    ) -> None:
        block, ends = self.view.blocks[arc.block], self._ends(arc)
        taps = self.taps[str(arc.block)] if block.taps > 1 else None
        if len(ends) != 2:
            value = reading.values[arc.block]
            value = value.square() if self.even else value
            for end, field in enumerate(ends):
                way = min(end, 1)
                if way < self.ways:
                    got = self._of_many(value, end, [ways[way][f] for f in ends], taps, way)
                    arrived[way].setdefault(field, []).append(got * self.scale[field][way])
            return
        matrix = matrices[arc.block]
        target, source = ends
        scales = [self.scale[target][0], self.scale[source][-1]][: self.ways]
        mixed = [matrix] * self.ways
        if taps is not None:
            mixed, scales = mixtures(matrix, taps * taps.new_tensor(scales).unsqueeze(-1), block.groups), [1.0, 1.0]
        got = sent(mixed[0], ways[0][source], block.groups, scales[0])
        arrived[0].setdefault(target, []).append(got)
        if self.ways > 1:
            got = sent(mixed[1].mT, ways[1][target], block.groups, scales[1])
            arrived[1].setdefault(source, []).append(got)

    def _of_many(self, value: Tensor, end: int, x: list[Tensor], taps: Tensor | None, way: int) -> Tensor:
        """The sum over all axes but one of a block with more than two: the product of the states at the others."""
        letters = "ijklmn"[: len(x)]
        terms = [f"b{letter}z" for place, letter in enumerate(letters) if place != end]
        others = [one for place, one in enumerate(x) if place != end]
        if taps is None:
            rule = f"b{letters},{','.join(terms)}->b{letters[end]}z"
            return torch.einsum(rule, value.squeeze(-1), *others)
        each = taps[:, way].repeat_interleave(self.width // self.heads, 1)
        return torch.einsum(f"b{letters}t,{','.join(terms)},tz->b{letters[end]}z", value, *others, each)

    def _scales(self) -> dict[Field, list[float]]:
        """By field and way: one over the (root of the) number of entries that are summed there."""
        fans = {field: [0] * self.ways for field in self.nodes.fields}
        for arc in self.arcs:
            for end, field in enumerate(self._ends(arc)):
                if min(end, 1) < self.ways:
                    fans[field][min(end, 1)] += fan(self.view.blocks[arc.block], end)
        for link in self.links:
            fans[link.child][0] += 1
            fans[link.parent][-1] += 1
        power = -1.0 if self.even else -0.5
        return {field: [max(1, num) ** power for num in found] for field, found in fans.items()}


def mixtures(
    matrix: Float[Tensor, "bg m k"], taps: Float[Tensor, "t w h"], groups: int
) -> tuple[Float[Tensor, "b g h m n"], ...]:
    """By way, ``sum_t a_t E_t`` for every head: what weights ``[b * groups, m, n * taps]`` are to its channels."""
    kernels = matrix.view(-1, groups, matrix.shape[1], matrix.shape[2] // len(taps), len(taps))
    mixed = (kernels @ taps.flatten(1)).unflatten(-1, taps.shape[1:])
    return mixed.permute(4, 0, 1, 5, 2, 3).unbind(0)


def sent(matrix: Float[Tensor, "*g m n"], x: Float[Tensor, "b _n c"], groups: int, scale: float) -> Tensor:
    """``scale * E x``, ``[b, m * groups, c]``; of a :func:`mixtures` of taps, which is in scale, ``E x`` by heads."""
    if matrix.dim() == 5:
        heads = matrix.shape[2]
        states = x.view(len(x), groups, -1, heads, x.shape[-1] // heads).transpose(2, 3)
        return (matrix @ states).transpose(2, 3).reshape(x.shape[0], -1, x.shape[-1])
    x = x.unflatten(1, (groups, -1)).flatten(0, 1) if groups > 1 else x
    got = torch.baddbmm(x.new_zeros(()), matrix, x, beta=0, alpha=scale)
    return got.unflatten(0, (-1, groups)).flatten(1, 2) if groups > 1 else got
