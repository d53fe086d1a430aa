"""Read-out of an operator: a change of every number of the networks.

A matrix changes by a low-rank part that its ends' states make and by a learned gain of each of its entries, both
products of thin matrices. Steps are learned, one for each block, in units of the block.
"""

from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...view import Block, Field, MatrixView
from .._equivariant import Mlp
from ._nodes import Nodes
from ._reading import MOST_NUMBERS, Reading

Rows = dict[Field, Tensor]
"""States of every field."""


@final
class Changes(nn.Module):
    """Blocks of changes in the gauge in which the networks were read.

    Args:
        view: Blocks of the networks.
        nodes: Fields of the networks.
        width: Channels of states.
        broken: Read states as they are, with their signs: the control.
    """

    initial_step = 0.1

    def __init__(self, view: MatrixView, nodes: Nodes, width: int, broken: bool) -> None:
        super().__init__()
        self.view, self.nodes, self.width, self.broken = view, nodes, width, broken
        self.ends = {arc.block: arc.ends for arc in nodes.arcs if not arc.second}
        # Maps of their own for every block: with shared ones operators learn half as fast.
        self.new = nn.ModuleDict({str(k): _maps(len(ends), width, bias=False) for k, ends in self.ends.items()})
        self.kept = nn.ModuleDict({str(k): _maps(len(ends), width, bias=True) for k, ends in self.ends.items()})
        self.gate, self.seen = Mlp(width, width, width), nn.Linear(width, width)
        self.taps = nn.ParameterDict({str(k): torch.randn(view.blocks[k].taps, 2, width) for k in self.ends})
        self.heads = nn.ModuleDict(
            {str(k): nn.Linear(width, view.blocks[k].taps, bias=False) for k in nodes.homes}
        )  # fmt: skip
        sizes = {k: self._numbers(block) for k, block in enumerate(view.blocks)}
        self.gains = nn.ModuleDict({str(k): nn.Linear(width, size) for k, size in sizes.items() if size})
        self.plain = nn.ModuleDict(
            {str(k): nn.Linear(width, size) for k, size in sizes.items() if size and not view.blocks[k].ends}
        )
        self.steps = nn.Parameter(torch.full((len(view.blocks),), self.initial_step))
        # For numbers that belong to no neuron; where there are none it would be a part without a use.
        self.whole = None if all(block.ends for block in view.blocks) else nn.Linear(2 * width, width)

    def forward(
        self, x: Float[Tensor, "b n c"], context: Float[Tensor, "b c"], reading: Reading
    ) -> list[Tensor]:  # fmt: skip
        even = self.nodes.even(x, self.broken)
        # A block that is 0 has no unit; it moves in a hundredth of those of the others.
        unit = (reading.unit + 0.01 * reading.unit.median(1, keepdim=True).values) * self.steps
        rows, even_rows = self.nodes.split(x * (1 + self.gate(even))), self.nodes.split(even)
        seen = self.nodes.split(nn.functional.silu(self.seen(even)))
        whole = even.new_zeros(0)
        if self.whole is not None:
            whole = nn.functional.silu(self.whole(torch.cat([context, even.mean(1)], -1)))
        changes = []
        for place, block in enumerate(self.view.blocks):
            value = reading.values[place]
            if place in reading.still:
                changes.append(torch.zeros_like(value))
                continue
            if block.offset:
                change = self._size(place, block, value, even_rows, whole, reading.unit[:, place])
            else:
                step = unit[:, place].reshape(-1, *[1] * (value.dim() - 1))
                change = step * self._change(place, block, value, rows, seen, whole)
            changes.append(change)
        return changes

    def _change(
        self,
        place: int,
        block: Block,
        value: Tensor,
        x: Rows,
        seen: Rows,
        whole: Tensor,
    ) -> Tensor:
        """In units of the block: what is new, and the entry times its gain."""
        if place in self.ends:
            taps = self.taps[str(place)]
            new = self._outer(place, block, self.new, x, taps[:, 0])
            return new + value * self._outer(place, block, self.kept, seen, taps[:, 1])
        if place in self.nodes.homes:
            home = self.nodes.homes[place]
            new = self.heads[str(place)](x[home])
            return new + value * self.gains[str(place)](seen[home])
        if str(place) not in self.gains:
            return value * whole.mean(-1).unsqueeze(-1)
        new = self.plain[str(place)](whole)
        gained = value * self.gains[str(place)](whole)
        return gained if block.odd and not self.broken else new + gained

    def _outer(self, place: int, block: Block, maps: nn.ModuleDict, x: Rows, taps: Tensor) -> Tensor:
        """Products of states at the ends, summed over channels: one number for every entry of the block."""
        own: Any = maps[str(place)]
        states = [one(x[field]) for one, field in zip(own, self.ends[place], strict=True)]
        taps = taps / self.width**0.5
        if len(states) > 2:
            letters = "ijklmn"[: len(states)]
            terms = ",".join(f"b{letter}z" for letter in letters)
            return torch.einsum(f"{terms},tz->b{letters}t", *states, taps)
        target, source = states
        source = (source.unsqueeze(2) * taps).flatten(1, 2)
        groups = block.groups
        if groups > 1:
            target, source = (one.unflatten(1, (groups, -1)).flatten(0, 1) for one in (target, source))
        return torch.bmm(target, source.mT).reshape(-1, *block.shape())

    def _size(self, place: int, block: Block, value: Tensor, even: Rows, whole: Tensor, unit: Tensor) -> Tensor:
        """Entries with an offset (variances) change by a factor between 1/2 and 3/2, and stay above it."""
        seen = even[self.nodes.homes[place]] if block.ends else whole
        factor = 0.5 * torch.tanh(2 * self.steps[place] * self.gains[str(place)](seen))
        return value * unit.reshape(-1, *[1] * (value.dim() - 1)) * factor

    def _numbers(self, block: Block) -> int:
        """How many numbers of a neuron, or of a network, have a gain of their own."""
        return block.taps if len(block.ends) == 1 or (not block.ends and block.taps <= MOST_NUMBERS) else 0


def _maps(num: int, width: int, *, bias: bool) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(width, width, bias=bias) for _ in range(num))
