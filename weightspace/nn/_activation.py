"""LayerNorm and SiLU in one step that remembers its input only."""

from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ._once import first_order


def activate(z: Float[Tensor, "*b h"], norm: nn.LayerNorm | nn.Identity) -> Float[Tensor, "*b h"]:
    """``F.silu(norm(z))``."""
    if isinstance(norm, nn.Identity):
        return F.silu(z)
    if not torch.is_grad_enabled() or casts(z):
        return F.silu(norm(z))
    return _NormSilu.apply(z, norm.weight, norm.bias, norm.eps)


def casts(x: Tensor) -> bool:
    """Whether products of tensors like this one are cast automatically."""
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)  # the meta device has none


@final
class _NormSilu(torch.autograd.Function):
    """The normalized values are computed again in the backward pass: one edge tensor less to keep."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y, mean, scale = torch.native_layer_norm(z, z.shape[-1:], weight, bias, eps)
        ctx.save_for_backward(z, mean, scale, weight, bias)
        ctx.eps = eps
        return F.silu(y, inplace=True)

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        z, mean, scale, weight, bias = ctx.saved_tensors
        y = F.layer_norm(z, z.shape[-1:], weight, bias, ctx.eps)
        torch.ops.aten.silu_backward.grad_input(grad, y, grad_input=y)
        shape, wanted = z.shape[-1:], [True, True, True]
        return *torch.ops.aten.native_layer_norm_backward(y, z, shape, mean, scale, weight, bias, wanted), None
