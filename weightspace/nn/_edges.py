"""Edge vectors that need not be written out: a number per edge times a vector that many edges share.

The first states of scalar weights are such products, and so are the messages made of them. A matrix then acts on
the shared vectors, once per neuron instead of once per edge (``F.linear(w * u) = w * F.linear(u)``).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

from jaxtyping import Float
from torch import Tensor

from ._linear import matmul

Join = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Numbers ``[b, e, 1]`` times the shared vectors, plus a shift if there is one: written out, ``[b, e, c]``."""


@final
@dataclass(frozen=True, eq=False)
class Outer:
    """Vectors ``number * vector`` on edges, never written out.

    Attributes:
        number: One per edge, ``[b, e, 1]``.
        vector: Shared, ``[..., c]``.
        join: How numbers and vectors meet.
    """

    number: Tensor
    vector: Tensor
    join: Join

    def dense(self, shift: Tensor | None = None) -> Float[Tensor, "b e c"]:
        """The vectors plus a shift, written out."""
        return self.join(self.number, self.vector, shift)


@final
@dataclass(frozen=True, eq=False)
class Kernels:
    """Vectors ``matrix @ kernel`` on edges: ``k`` numbers per edge and one matrix for all of them.

    Attributes:
        kernel: ``[b, e, k]``.
        matrix: ``[c, k]``.
    """

    kernel: Tensor
    matrix: Tensor


def linear(x: Tensor | Outer | Kernels, weight: Float[Tensor, "o c"]) -> Tensor | Outer:
    """``x`` with the matrix applied to every vector; an :class:`Outer` stays one."""
    if isinstance(x, Outer):
        return replace(x, vector=matmul(x.vector, weight))
    if isinstance(x, Kernels):
        return matmul(x.kernel, weight @ x.matrix)
    return matmul(x, weight)


def affine(x: Tensor | Outer | Kernels, weight: Float[Tensor, "o c"], shift: Tensor) -> Tensor:
    """The matrix applied to every vector, plus ``shift``, which broadcasts; written out."""
    if isinstance(x, Outer):
        out = replace(x, vector=matmul(x.vector, weight))
        return out.dense(shift) if shift.ndim == 1 else out.dense() + shift
    if isinstance(x, Kernels):
        x, weight = x.kernel, weight @ x.matrix
    return matmul(x, weight, shift) if shift.ndim == 1 else matmul(x, weight) + shift


def dense(x: Tensor | Outer) -> Tensor:
    """``x`` written out."""
    return x.dense() if isinstance(x, Outer) else x
