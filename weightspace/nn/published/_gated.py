"""The steps that dominate the cost of a published model, a few networks at a time.

Their matrix products are fast; what costs is the traffic between them, since a tensor with a state per edge does not
fit a processor's cache. Here some networks pass through all products before the next do, in the forward and in the
backward pass, and only what the backward pass needs is kept. On other devices all networks pass at once.
"""

from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .._equivariant import Mlp
from .._linear import matmul, weight_gradient
from ._rows import Block

ROWS_AT_ONCE = 5120
"""Edges that pass at once on a CPU: 2.6 MB of float32 at 128 channels, several of which fit a cache."""


def gated(
    x: Float[Tensor, "b e o"], z: Float[Tensor, "b e h"], mlp: Mlp, block: Block, *, summed: bool
) -> Float[Tensor, "b _ o"]:
    """``x`` times what the MLP makes of its first product ``z``, or the sums of that over every receiver's senders."""
    if not (casts(x) or (mlp.training and mlp.dropout.p > 0)):
        norm = mlp.norm if isinstance(mlp.norm, nn.LayerNorm) else None
        learned = (None, None) if norm is None else (norm.weight, norm.bias)
        eps = 0.0 if norm is None else norm.eps
        return _Gated.apply(x, z, *learned, mlp.second.weight, mlp.second.bias, eps, block, summed)
    product = x * mlp.last(mlp.hidden(z))
    return torch.cat([part.sum(block.dim) for part in block.split(product)], 1) if summed else product


def absolute_views(
    x: Float[Tensor, "b e c"],
    senders: Float[Tensor, "b s c"],
    first: Float[Tensor, "o c"],
    second: Float[Tensor, "h c"],
    shift: Float[Tensor, " h"],
    block: Block,
) -> tuple[Float[Tensor, "b e o"], Float[Tensor, "b e h"]]:
    """``F.linear(p, first)`` and ``F.linear(|p|, second, shift)``, ``p`` being every row times its sender's vector."""
    return _AbsoluteViews.apply(x, senders, first, second, shift, block)


def casts(x: Tensor) -> bool:
    """Whether numbers are cast automatically: fused steps do not take part in that."""
    return torch.is_autocast_enabled(x.device.type)


def _pieces(block: Block, x: Tensor) -> list[slice]:
    """Networks that pass at once."""
    num = max(1, ROWS_AT_ONCE // max(1, block.rows)) if x.device.type == "cpu" else block.num
    return [slice(start, start + num) for start in range(0, block.num, num)]


@final
class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        z: Tensor,
        gain: Tensor | None,
        offset: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        block: Block,
        summed: bool,
    ) -> Tensor:
        gate = torch.empty_like(x)
        out = x.new_empty(block.num, sum(block.receivers), x.shape[-1]) if summed else torch.empty_like(x)
        for some in _pieces(block, x):
            y = z[some].flatten(0, 1)
            h = F.silu(y) if gain is None else F.silu(F.layer_norm(y, y.shape[1:], gain, offset, eps), inplace=True)
            gate[some] = matmul(h, weight, bias).view_as(gate[some])
            if summed:
                parts = zip(
                    block.split(x[some]), block.split(gate[some]), out[some].split(block.receivers, 1), strict=True
                )
                for a, b, o in parts:
                    torch.sum(a * b, block.dim, out=o)
            else:
                torch.mul(x[some], gate[some], out=out[some])
        ctx.save_for_backward(x, z, gate, gain, offset, weight)
        ctx.options = eps, block, summed
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, z, gate, gain, offset, weight = ctx.saved_tensors
        eps, block, summed = ctx.options
        of_x, of_z = torch.empty_like(x), torch.empty_like(z)
        of_gain, of_offset = (None, None) if gain is None else (torch.zeros_like(gain), torch.zeros_like(offset))
        of_weight, of_bias = torch.zeros_like(weight), weight.new_zeros(len(weight))
        for some in _pieces(block, x):
            of_gate = torch.empty_like(x[some])
            if summed:
                at_receivers = block.of_receivers(grad[some])
                parts = (block.split(t) for t in (x[some], gate[some], of_x[some], of_gate))
                for g, a, b, to_a, to_b in zip(at_receivers, *parts, strict=True):
                    torch.mul(g, b, out=to_a)
                    torch.mul(g, a, out=to_b)
            else:
                torch.mul(grad[some], gate[some], out=of_x[some])
                torch.mul(grad[some], x[some], out=of_gate)
            of_gate, u = of_gate.flatten(0, 1), z[some].flatten(0, 1)
            y, mean, scale = u, None, None
            if gain is not None:
                y, mean, scale = torch.native_layer_norm(u, u.shape[1:], gain, offset, eps)
            of_weight += weight_gradient(of_gate, F.silu(y))
            of_bias += of_gate.sum(0)
            of_y = torch.ops.aten.silu_backward(matmul(of_gate, weight.t()), y)
            if gain is not None:
                shape, wanted = u.shape[1:], [True, True, True]
                found = torch.ops.aten.native_layer_norm_backward(of_y, u, shape, mean, scale, gain, offset, wanted)
                of_y = found[0]
                of_gain += found[1]
                of_offset += found[2]
            of_z[some] = of_y.view_as(of_z[some])
        return of_x, of_z, of_gain, of_offset, of_weight, of_bias, None, None, None


@final
class _AbsoluteViews(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, senders: Tensor, first: Tensor, second: Tensor, shift: Tensor, block: Block
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, senders, first, second)
        ctx.block = block
        one = x.new_empty(*x.shape[:2], len(first))
        other = x.new_empty(*x.shape[:2], len(second))
        for some in _pieces(block, x):
            p = _products(x[some], senders[some], block)
            one[some] = matmul(p.flatten(0, 1), first).view_as(one[some])
            other[some] = matmul(p.abs_().flatten(0, 1), second, shift).view_as(other[some])
        return one, other

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_one: Tensor, of_other: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x, senders, first, second), block = ctx.saved_tensors, ctx.block
        of_x, of_senders = torch.empty_like(x), torch.empty_like(senders)
        of_first, of_second, of_shift = torch.zeros_like(first), torch.zeros_like(second), second.new_zeros(len(second))
        for some in _pieces(block, x):
            p = _products(x[some], senders[some], block).flatten(0, 1)
            g, f = of_one[some].flatten(0, 1), of_other[some].flatten(0, 1)
            of_first += weight_gradient(g, p)
            of_second += weight_gradient(f, p.abs())
            of_shift += f.sum(0)
            of_p = matmul(g, first.t()).addcmul_(matmul(f, second.t()), p.sgn_())
            of_p = of_p.view(-1, block.rows, of_p.shape[1])
            parts = (block.split(of_p), block.split(x[some]), block.split(of_x[some]), block.of_senders(senders[some]))
            for (g, a, o, s), to_s in zip(
                zip(*parts, strict=True), of_senders[some].split(block.senders, 1), strict=True
            ):
                torch.mul(g, s, out=o)
                torch.sum(g.mul_(a), 3 - block.dim, out=to_s)
        return of_x, of_senders, of_first, of_second, of_shift, None


def _products(x: Tensor, senders: Tensor, block: Block) -> Tensor:
    out = x.new_empty(x.shape)
    for a, s, o in zip(block.split(x), block.of_senders(senders), block.split(out), strict=True):
        torch.mul(a, s, out=o)
    return out
