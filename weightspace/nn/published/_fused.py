"""The two steps that dominate the cost of a model with |x| invariants, with gradients written out.

Matrix products are fast; what costs is the traffic between them. Written out, no tensor is added to another that a
product could have added to, biases get their gradients from the products that weights do, and nothing is kept that
the backward pass does not read. The same numbers come out of the parts in ``_parts.py`` and ``_rounds.py``, which
serve every other case.
"""

from collections.abc import Sequence
from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .._activation import casts
from .._edges import Kernels, Outer
from .._equivariant import Mlp
from .._linear import gradients, matmul
from .._once import first_order
from ._rows import Block, weighted_total


def applies(mlp: Mlp, x: Tensor) -> bool:
    """Whether the fused steps may stand for the parts: no dropout to draw, no numbers cast automatically."""
    return not ((mlp.training and mlp.dropout.p > 0) or casts(x))


def message(
    e: Tensor | Outer | Kernels,
    edge: Float[Tensor, "c c"],
    senders: Float[Tensor, "b s c"],
    mapped: Float[Tensor, "o c"],
    mlp: Mlp,
    block: Block,
) -> Float[Tensor, "b t o"]:
    """At every receiver the sum over its senders of ``(mapped p) * mlp(|p|)``, ``p = (edge e) * sender``."""
    if isinstance(e, Outer):
        shared = matmul(e.vector, edge) * senders
        vectors, features = matmul(shared, mapped), matmul(shared.abs(), mlp.first.weight)
        return _OuterMessage.apply(e.number, vectors, features, mlp.first.bias, *_tail(mlp), block)
    rows, weight = (e.kernel, edge @ e.matrix) if isinstance(e, Kernels) else (e, edge)
    return _Message.apply(rows, weight, senders, mapped, mlp.first.weight, mlp.first.bias, *_tail(mlp), block)


def update(
    e: Tensor | Kernels,
    weight: Float[Tensor, "o c"],
    senders: Float[Tensor, "b s h"],
    receivers: Float[Tensor, "b t h"],
    mlp: Mlp,
    block: Block,
) -> Float[Tensor, "b e o"]:
    """On every edge ``(weight e) * last(sender + receiver)``, ``last`` being the MLP after its first product."""
    rows, weight = (e.kernel, weight @ e.matrix) if isinstance(e, Kernels) else (e, weight)
    return _Update.apply(rows, weight, senders, receivers, *_tail(mlp), block)


def _tail(mlp: Mlp) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, float]:
    """The MLP after its first product: second matrix and bias; gain, offset and epsilon of the normalization."""
    second = (mlp.second.weight, mlp.second.bias)
    return (
        (*second, mlp.norm.weight, mlp.norm.bias, mlp.norm.eps)
        if isinstance(mlp.norm, nn.LayerNorm)
        else (*second, None, None, 0.0)
    )


@final
class _Tail:
    """An MLP after its first product: normalization, activation, second product; and their gradients."""

    def __init__(self, weight: Tensor, bias: Tensor, gain: Tensor | None, offset: Tensor | None, eps: float) -> None:
        self.weight, self.bias, self.gain, self.offset, self.eps = weight, bias, gain, offset, eps

    def forward(self, z: Float[Tensor, "r h"]) -> tuple[Tensor, list[Tensor]]:
        """The outputs, and what the backward pass needs."""
        y, kept = z, []
        if self.gain is not None:
            y, mean, scale = torch.native_layer_norm(z, z.shape[1:], self.gain, self.offset, self.eps)
            kept = [z, mean, scale]
        h = F.silu(y)
        return matmul(h, self.weight, self.bias), [y, h, *kept]

    def backward(self, grad: Float[Tensor, "r o"], kept: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """The gradients of ``z`` and of everything learned, in the order of the arguments."""
        y, h, *before = kept
        of_weight, of_bias = gradients(grad, h)
        of_y = matmul(grad, self.weight.t())
        torch.ops.aten.silu_backward.grad_input(of_y, y, grad_input=of_y)
        if self.gain is None:
            return of_y, (of_weight, of_bias, None, None, None)
        z, mean, scale = before
        of_z, of_gain, of_offset = torch.ops.aten.native_layer_norm_backward(
            of_y, z, z.shape[1:], mean, scale, self.gain, self.offset, [True, True, True]
        )
        return of_z, (of_weight, of_bias, of_gain, of_offset, None)


@final
class _Message(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        edge: Tensor,
        senders: Tensor,
        mapped: Tensor,
        first: Tensor,
        shift: Tensor,
        weight: Tensor,
        bias: Tensor,
        gain: Tensor | None,
        offset: Tensor | None,
        eps: float,
        block: Block,
    ) -> Tensor:
        flat = rows.flatten(0, 1)
        v = matmul(flat, edge)
        p = _times(v, senders, block)
        w = matmul(p, mapped)
        gate, kept = _Tail(weight, bias, gain, offset, eps).forward(matmul(p.abs(), first, shift))
        ctx.save_for_backward(flat, edge, senders, mapped, first, weight, bias, gain, offset, v, p, w, gate, *kept)
        ctx.eps, ctx.block, ctx.shape = eps, block, rows.shape
        return _total(w, gate, block)

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        flat, edge, senders, mapped, first, weight, bias, gain, offset, v, p, w, gate, *kept = ctx.saved_tensors
        block, tail = ctx.block, _Tail(weight, bias, gain, offset, ctx.eps)
        of_w = _spread(grad, gate, block)
        of_z, learned = tail.backward(_spread(grad, w, block), kept)
        of_mapped, _ = gradients(of_w, p)
        of_first, of_shift = gradients(of_z, p.abs())
        of_p = matmul(of_w, mapped.t()).addcmul_(matmul(of_z, first.t()), p.sgn())
        of_senders = _to_senders(of_p, v, block)
        of_v = _times(of_p, senders, block, out=of_p)
        of_edge, _ = gradients(of_v, flat)
        of_rows = matmul(of_v, edge.t()).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return of_rows, of_edge, of_senders, of_mapped, of_first, of_shift, *learned, None


@final
class _OuterMessage(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        number: Tensor,
        vectors: Tensor,
        features: Tensor,
        shift: Tensor,
        weight: Tensor,
        bias: Tensor,
        gain: Tensor | None,
        offset: Tensor | None,
        eps: float,
        block: Block,
    ) -> Tensor:
        flat = number.flatten(0, 1)
        w, z = _times(flat, vectors, block), _times(flat.abs(), features, block, shift)
        gate, kept = _Tail(weight, bias, gain, offset, eps).forward(z)
        ctx.save_for_backward(flat, vectors, features, weight, bias, gain, offset, w, gate, *kept)
        ctx.eps, ctx.block, ctx.shape = eps, block, number.shape
        return _total(w, gate, block)

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        flat, vectors, features, weight, bias, gain, offset, w, gate, *kept = ctx.saved_tensors
        block, tail = ctx.block, _Tail(weight, bias, gain, offset, ctx.eps)
        of_z, learned = tail.backward(_spread(grad, w, block), kept)
        of_w = _spread(grad, gate, block)
        of_vectors, of_features = _to_senders(of_w, flat, block), _to_senders(of_z, flat.abs(), block)
        of_number = None
        if ctx.needs_input_grad[0]:
            direct = _times(of_w, vectors, block).sum(1, keepdim=True)
            through = _times(of_z, features, block).sum(1, keepdim=True)
            of_number = (direct + through * flat.sgn()).view(ctx.shape)
        return of_number, of_vectors, of_features, of_z.sum(0), *learned, None


@final
class _Update(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        edge: Tensor,
        senders: Tensor,
        receivers: Tensor,
        weight: Tensor,
        bias: Tensor,
        gain: Tensor | None,
        offset: Tensor | None,
        eps: float,
        block: Block,
    ) -> Tensor:
        flat = rows.flatten(0, 1)
        u = matmul(flat, edge)
        gate, kept = _Tail(weight, bias, gain, offset, eps).forward(_ends(senders, receivers, block))
        ctx.save_for_backward(flat, edge, weight, bias, gain, offset, u, gate, *kept)
        ctx.eps, ctx.block, ctx.shape = eps, block, rows.shape
        return (u * gate).view(block.num, block.rows, -1)

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        flat, edge, weight, bias, gain, offset, u, gate, *kept = ctx.saved_tensors
        block, tail, grad = ctx.block, _Tail(weight, bias, gain, offset, ctx.eps), grad.flatten(0, 1)
        of_z, learned = tail.backward(grad * u, kept)
        parts = block.split(of_z)
        of_senders = torch.cat([part.sum(3 - block.dim) for part in parts], 1)
        of_receivers = torch.cat([part.sum(block.dim) for part in parts], 1)
        of_u = grad * gate
        of_edge, _ = gradients(of_u, flat)
        of_rows = matmul(of_u, edge.t()).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return of_rows, of_edge, of_senders, of_receivers, *learned, None


def _times(
    x: Float[Tensor, "r k"], senders: Tensor, block: Block, shift: Tensor | None = None, out: Tensor | None = None
) -> Float[Tensor, "r c"]:
    """Rows times the vector of their sender, plus a shift."""
    out = x.new_empty(len(x), senders.shape[-1]) if out is None else out
    for a, s, o in zip(block.split(x), block.of_senders(senders), block.split(out), strict=True):
        if shift is None:
            torch.mul(a, s, out=o)
        else:
            torch.addcmul(shift, a, s, out=o)
    return out


def _ends(senders: Tensor, receivers: Tensor, block: Block) -> Float[Tensor, "r h"]:
    """Sender plus receiver on every edge."""
    out = senders.new_empty(block.num * block.rows, senders.shape[-1])
    for s, t, o in zip(block.of_senders(senders), block.of_receivers(receivers), block.split(out), strict=True):
        torch.add(s, t, out=o)
    return out


def _spread(grad: Float[Tensor, "b t c"], x: Float[Tensor, "r c"], block: Block) -> Float[Tensor, "r c"]:
    """Rows times the vector of their receiver."""
    out = torch.empty_like(x)
    for g, a, o in zip(block.of_receivers(grad), block.split(x), block.split(out), strict=True):
        torch.mul(g, a, out=o)
    return out


def _total(x: Float[Tensor, "r c"], y: Float[Tensor, "r c"], block: Block) -> Float[Tensor, "b t c"]:
    """At every receiver the sum over its senders of ``x * y``."""
    parts = zip(block.split(x), block.split(y), strict=True)
    return torch.cat([(a * b).sum(block.dim) for a, b in parts], 1)


def _to_senders(x: Float[Tensor, "r c"], y: Float[Tensor, "r k"], block: Block) -> Float[Tensor, "b s c"]:
    """At every sender the sum over its receivers of ``x * y``."""
    parts = zip(block.split(y), block.split(x), strict=True)
    return torch.cat([weighted_total(b, a, block.dim) for b, a in parts], 1)
