"""The building blocks of scale-equivariant message passing.

``ScaleInv`` and ``ScaleEq`` act on one vector, ``ReScaleEq`` joins two whose scales multiply. On spaces where
nothing acts (inputs, outputs, permutation-only neurons) a plain MLP takes their place.

Source: arXiv:2406.10685, section 5. In the default models every gate starts at 1 instead of about 0, and there is
no LayerNorm; the published models use both parts as published.
"""

from typing import final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..spec import ScaleName
from ._activation import activate
from ._edges import Kernels, Outer, affine
from ._invariant import Invariant, SignInvariant, invariant
from ._linear import matmul


@final
class Mlp(nn.Module):
    """Linear, SiLU, Linear.

    Args:
        width: Channels in, those of a context included.
        hidden: Hidden units.
        out: Channels out.
        norm: LayerNorm before the activation.
        dropout: Probability on hidden units.
    """

    def __init__(self, width: int, hidden: int, out: int, *, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(hidden, out)

    def forward(self, x: Tensor | Outer | Kernels, context: Tensor | None = None) -> Tensor:
        return self.last(self.hidden(affine(x, *self.reader(context))))

    def total(self, x: Tensor | Outer | Kernels, dim: int, context: Tensor | None = None) -> Tensor:
        """The sum of the outputs over the senders ``dim``; the second product runs once per receiver."""
        hidden = self.hidden(affine(x, *self.reader(context)))
        return F.linear(hidden.sum(dim), self.second.weight, hidden.shape[dim] * self.second.bias)

    def last(self, hidden: Float[Tensor, "*b h"]) -> Float[Tensor, "*b o"]:
        """The second linear map."""
        return matmul(hidden, self.second.weight, self.second.bias)

    def reader(self, context: Tensor | None) -> tuple[Float[Tensor, "h c"], Tensor]:
        """The first matrix as far as it reads features, and a shift: the bias and what it reads of a context."""
        weight, bias = self.first.weight, self.first.bias
        if context is None:
            return weight, bias
        features = weight.shape[1] - context.shape[-1]
        return weight[:, :features], F.linear(context, weight[:, features:], bias)

    def hidden(self, z: Float[Tensor, "*b h"]) -> Float[Tensor, "*b h"]:
        """Hidden units, from what the first matrix gives."""
        return self.dropout(activate(z, self.norm))


@final
class ScaleInv(nn.Module):
    """A learned function of an invariant of ``x`` and a context: unchanged when the scale group acts on ``x``."""

    def __init__(self, invariant: Invariant, mlp: Mlp) -> None:
        super().__init__()
        self.invariant = invariant
        self.mlp = mlp

    def forward(self, x: Tensor | Outer, context: Tensor | None = None) -> Tensor:
        return self.mlp.last(self._hidden(x, context))

    def total(self, x: Tensor | Outer, dim: int, context: Tensor | None = None) -> Tensor:
        """The sum of the outputs over ``dim``; the second product runs after it."""
        hidden = self._hidden(x, context)
        return F.linear(hidden.sum(dim), self.mlp.second.weight, hidden.shape[dim] * self.mlp.second.bias)

    def _hidden(self, x: Tensor | Outer, context: Tensor | None) -> Tensor:
        return self.mlp.hidden(self.invariant.affine(x, *self.mlp.reader(context)))


@final
class ScaleEq(nn.Module):
    """``(Lin x) * (1 + ScaleInv(x))``: scales as ``x`` does."""

    def __init__(self, width: int, hidden: int, out: int, group: ScaleName, sign: SignInvariant) -> None:
        super().__init__()
        self.linear = nn.Linear(width, out, bias=False)
        self.gate = ScaleInv(invariant(group, width, hidden, sign), Mlp(width, hidden, out))

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b o"]:
        return self.linear(x) * (1 + self.gate(x))

    def total(self, x: Float[Tensor, "b m n c"], dim: int) -> Float[Tensor, "b v o"]:
        """The sum of the outputs over the senders ``dim``."""
        return self(x).sum(dim)


@final
class ReScaleEq(nn.Module):
    """``(Lin x) * (Lin e)``: the scales of a sender and of its edge multiply to the receiver's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.node = nn.Linear(width, width, bias=False)
        self.edge = nn.Linear(width, width, bias=False)

    def forward(self, x: Float[Tensor, "b s c"], e: Float[Tensor, "b m n c"], dim: int) -> Float[Tensor, "b m n c"]:
        """Products on every edge; ``dim`` is the axis of ``e`` that runs over the senders ``x``."""
        # The sender's product is taken once per node, before it meets the edges.
        return self.edge(e) * self.node(x).unsqueeze(3 - dim)


def vertex_map(width: int, hidden: int, out: int, group: ScaleName, sign: SignInvariant) -> Mlp | ScaleEq:
    """The most general map of this library that scales as its input does: an MLP where nothing acts."""
    return Mlp(width, hidden, out) if group == "trivial" else ScaleEq(width, hidden, out, group, sign)
