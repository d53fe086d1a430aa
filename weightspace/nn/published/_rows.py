"""Edges of several weights as rows, network by network, and how they meet the vertices at their ends.

One matrix product then serves all weights at once. Where rows meet vertices, results are written weight by weight
into one tensor, in the forward and in the backward pass; nothing is gathered, scattered or copied together.
"""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from .._edges import Outer
from .._once import first_order


@final
@dataclass(frozen=True)
class Block:
    """How rows ``[b, e, c]`` are laid out: in every network weight by weight, each ``[m, n]`` in memory order.

    Attributes:
        num: Stacked networks ``b``.
        shapes: Targets and sources ``(m, n)`` of every weight.
        dim: Axis of ``[b, m, n, c]`` over which the senders of messages run: 2 ahead, 1 back.
    """

    num: int
    shapes: tuple[tuple[int, int], ...]
    dim: int

    @property
    def sizes(self) -> list[int]:
        """Edges of every weight."""
        return [m * n for m, n in self.shapes]

    @property
    def rows(self) -> int:
        """Edges of a network."""
        return sum(self.sizes)

    @property
    def senders(self) -> list[int]:
        """Sending vertices of every weight."""
        return [shape[self.dim - 1] for shape in self.shapes]

    @property
    def receivers(self) -> list[int]:
        """Receiving vertices of every weight."""
        return [shape[2 - self.dim] for shape in self.shapes]

    def split(self, rows: Tensor) -> list[Tensor]:
        """The rows ``[b, e, c]`` or ``[b * e, c]`` of any number of networks by weight, ``[b, m, n, c]``; views."""
        parts = rows.view(-1, self.rows, rows.shape[-1]).split(self.sizes, 1)
        return [part.view(-1, m, n, part.shape[-1]) for part, (m, n) in zip(parts, self.shapes, strict=True)]

    def of_senders(self, nodes: Float[Tensor, "_ s c"]) -> list[Tensor]:
        """Every weight's senders, broadcasting over its receivers."""
        return [part.unsqueeze(3 - self.dim) for part in nodes.split(self.senders, 1)]

    def of_receivers(self, nodes: Float[Tensor, "_ r c"]) -> list[Tensor]:
        """Every weight's receivers, broadcasting over its senders."""
        return [part.unsqueeze(self.dim) for part in nodes.split(self.receivers, 1)]


def times_senders(
    rows: Float[Tensor, "b e k"], senders: Float[Tensor, "_ s c"], block: Block, shift: Tensor | None = None
) -> Float[Tensor, "b e c"]:
    """Every row times the vector of its sender, plus ``shift``; rows hold a vector or one number."""
    return _TimesSenders.apply(rows, senders, shift, block)


def outer(number: Float[Tensor, "b e 1"], vector: Float[Tensor, "_ s c"], block: Block) -> Outer:
    """A number per edge times the vector of its sender; one vector may stand for all senders."""

    def join(numbers: Tensor, vectors: Tensor, shift: Tensor | None) -> Tensor:
        if vectors.shape[:2] == (1, 1):
            vectors = vectors.expand(1, sum(block.senders), -1)
        return times_senders(numbers, vectors, block, shift)

    return Outer(number, vector, join)


def times(e: Tensor | Outer, senders: Float[Tensor, "b s c"], block: Block) -> Tensor | Outer:
    """Every edge vector times that of its sender; what was not written out stays so."""
    return outer(e.number, e.vector * senders, block) if isinstance(e, Outer) else times_senders(e, senders, block)


def of_ends(
    senders: Float[Tensor, "_ s c"], receivers: Float[Tensor, "_ t c"] | None, block: Block
) -> Float[Tensor, "b e c"]:
    """On every edge the vector of its sender, plus that of its receiver."""
    return _OfEnds.apply(senders, receivers, block)


def total(x: Float[Tensor, "b e c"], block: Block) -> Float[Tensor, "b t c"]:
    """At every receiver the sum over its senders."""
    return torch.cat([part.sum(block.dim) for part in block.split(x)], 1)


@final
class _TimesSenders(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, senders: Tensor, shift: Tensor | None, block: Block) -> Tensor:
        ctx.block = block
        ctx.save_for_backward(rows, senders)
        out = rows.new_empty(*rows.shape[:2], senders.shape[-1])
        for x, s, o in zip(block.split(rows), block.of_senders(senders), block.split(out), strict=True):
            if shift is None:
                torch.mul(x, s, out=o)
            else:
                torch.addcmul(shift, x, s, out=o)
        return out

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (rows, senders), block = ctx.saved_tensors, ctx.block
        grad = grad.contiguous()
        of_rows, of_senders = None, None
        wide = rows.shape[2] == grad.shape[2]
        if ctx.needs_input_grad[0]:
            of_rows = torch.empty_like(rows)
            for g, s, o in zip(block.split(grad), block.of_senders(senders), block.split(of_rows), strict=True):
                if wide:
                    torch.mul(g, s, out=o)
                else:
                    torch.sum(g * s, -1, keepdim=True, out=o)
        if ctx.needs_input_grad[1]:
            parts = [weighted_total(x, g, block.dim) for g, x in zip(block.split(grad), block.split(rows), strict=True)]
            of_senders = torch.cat(parts, 1)
            of_senders = of_senders.sum(0, keepdim=True) if len(senders) < len(of_senders) else of_senders
        return of_rows, of_senders, grad.sum((0, 1)) if ctx.needs_input_grad[2] else None, None


@final
class _OfEnds(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, senders: Tensor, receivers: Tensor | None, block: Block) -> Tensor:
        ctx.block = block
        ctx.single = len(senders) == 1
        out = senders.new_empty(block.num, block.rows, senders.shape[-1])
        parts = block.split(out)
        if receivers is None:
            for s, o in zip(block.of_senders(senders), parts, strict=True):
                o.copy_(s)
        else:
            for s, t, o in zip(block.of_senders(senders), block.of_receivers(receivers), parts, strict=True):
                torch.add(s, t, out=o)
        return out

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        block, parts = ctx.block, ctx.block.split(grad.contiguous())
        of_senders = torch.cat([g.sum(3 - block.dim) for g in parts], 1)
        if ctx.single:
            of_senders = of_senders.sum(0, keepdim=True)
        of_receivers = torch.cat([g.sum(block.dim) for g in parts], 1) if ctx.needs_input_grad[1] else None
        return of_senders, of_receivers, None


def weighted_total(x: Float[Tensor, "b m n k"], g: Float[Tensor, "b m n c"], dim: int) -> Float[Tensor, "b s c"]:
    """The sum over the receivers of ``x * g``."""
    if x.shape[-1] == 1 and dim == 1:
        return (x.transpose(2, 3) @ g).squeeze(2)  # receivers are neighbours in memory: one pass without a product
    return (x * g).sum(3 - dim)
