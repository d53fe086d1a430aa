"""Edge vectors that need not be written out: a number per edge times a vector that many edges share.

The first states of scalar weights are such products, and so are the messages made of them. A matrix then acts on
the shared vectors, once per neuron instead of once per edge (``F.linear(w * u) = w * F.linear(u)``).
"""

from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class Outer:
    """Vectors ``number * vector`` on edges ``[b, m, n, c]``, never written out.

    Attributes:
        number: ``[b, m, n, 1]``.
        vector: ``[b, m, n, c]``, with size 1 along every axis on which it does not depend.
    """

    number: Tensor
    vector: Tensor

    def dense(self) -> Float[Tensor, "b m n c"]:
        """The vectors, written out."""
        return self.number * self.vector


@final
@dataclass(frozen=True, eq=False)
class Kernels:
    """Vectors ``matrix @ kernel`` on edges: ``k`` numbers per edge and one matrix for all of them.

    Attributes:
        kernel: ``[b, m, n, k]``.
        matrix: ``[c, k]``.
    """

    kernel: Tensor
    matrix: Tensor


def linear(x: Tensor | Outer | Kernels, weight: Float[Tensor, "o c"]) -> Tensor | Outer:
    """``x`` with the matrix applied to every vector; an :class:`Outer` stays one."""
    if isinstance(x, Outer):
        return Outer(x.number, F.linear(x.vector, weight))
    if isinstance(x, Kernels):
        return F.linear(x.kernel, weight @ x.matrix)
    return F.linear(x, weight)


def affine(x: Tensor | Outer | Kernels, weight: Float[Tensor, "o c"], shift: Tensor) -> Tensor:
    """The matrix applied to every vector, plus ``shift``, which broadcasts; written out."""
    if isinstance(x, Outer):
        return torch.addcmul(shift, x.number, F.linear(x.vector, weight))
    if isinstance(x, Kernels):
        x, weight = x.kernel, weight @ x.matrix
    return F.linear(x, weight, shift) if shift.ndim == 1 else F.linear(x, weight) + shift


def times(x: Tensor | Outer, factor: Tensor) -> Tensor | Outer:
    """``x`` times a factor per neuron, channel by channel; an :class:`Outer` stays one."""
    return Outer(x.number, x.vector * factor) if isinstance(x, Outer) else x * factor


def dense(x: Tensor | Outer) -> Tensor:
    """``x`` written out."""
    return x.dense() if isinstance(x, Outer) else x
