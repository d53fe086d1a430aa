"""Gradients written out by hand are of first order; asked for more, they refuse.

Torch's own mark for that, ``once_differentiable``, raises too late: ``torch.autograd.grad`` walks around it, and takes
written-out gradients for constants without a word.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch


def first_order(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A ``backward`` of ``torch.autograd.Function`` that raises ``NotImplementedError`` under ``create_graph``."""

    @wraps(backward)
    def guarded(*args: Any) -> Any:
        if torch.is_grad_enabled():
            raise NotImplementedError(
                "published metanetworks have gradients of first order only, create_graph=True asks for more. "
                "Take ws.nn.InvariantFunctional or ws.nn.EquivariantOperator, or leave create_graph away."
            )
        return backward(*args)

    return guarded
