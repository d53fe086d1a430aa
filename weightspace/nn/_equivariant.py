"""The building blocks of scale-equivariant message passing.

``ScaleInv`` and ``ScaleEq`` act on one vector, ``ReScaleEq`` joins two whose scales multiply. On spaces where
nothing acts (inputs, outputs, permutation-only neurons) a plain MLP takes their place.

Source: arXiv:2406.10685, section 5. Ours starts every gate at 1 instead of about 0, and leaves out LayerNorm.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from ..spec import ScaleName
from ._invariant import SignInvariant, invariant


@final
class Mlp(nn.Module):
    """Linear, SiLU, Linear."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.second = nn.Linear(hidden, out)

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b o"]:
        return self.second(nn.functional.silu(self.first(x)))

    def mean(self, x: Float[Tensor, "b m n c"], dim: int) -> Float[Tensor, "b v o"]:
        """The mean of the outputs over the senders ``dim``; the second product runs once per receiver."""
        return self.second(nn.functional.silu(self.first(x)).mean(dim))


@final
class ScaleInv(nn.Module):
    """A learned function of an invariant of ``x``: unchanged when the scale group acts on ``x``."""

    def __init__(self, width: int, hidden: int, out: int, group: ScaleName, sign: SignInvariant) -> None:
        super().__init__()
        self.invariant = invariant(group, width, hidden, sign)
        self.mlp = Mlp(width, hidden, out)

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b o"]:
        return self.mlp(self.invariant(x))


@final
class ScaleEq(nn.Module):
    """``(Lin x) * (1 + ScaleInv(x))``: scales as ``x`` does."""

    def __init__(self, width: int, hidden: int, out: int, group: ScaleName, sign: SignInvariant) -> None:
        super().__init__()
        self.linear = nn.Linear(width, out, bias=False)
        self.gate = ScaleInv(width, hidden, out, group, sign)

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b o"]:
        return self.linear(x) * (1 + self.gate(x))

    def mean(self, x: Float[Tensor, "b m n c"], dim: int) -> Float[Tensor, "b v o"]:
        """The mean of the outputs over the senders ``dim``."""
        return self(x).mean(dim)


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
