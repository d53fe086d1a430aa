"""Invariants: maps of a feature vector that a scale group cannot change.

Each takes the whole channel vector of a node or a message, on which a group element acts by one number.
"""

from typing import Literal, final

from jaxtyping import Float
from torch import Tensor, nn

from ..gauge import reciprocal_or_zero, safe_norm
from ..spec import NeuronSpace, ScaleName

SignInvariant = Literal["absolute", "symmetrized", "none"]
"""How sign flips are removed: |x| per channel, rho(x) + rho(-x), or not at all (the symmetry-broken control)."""


def kind(space: NeuronSpace) -> ScaleName:
    """The scale group that acts on a space's features: trivial on fixed spaces."""
    return "trivial" if space.fixed else space.scale


@final
class Absolute(nn.Module):
    """``|x|`` per channel; cheap, but also blind to the relative signs between channels."""

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return x.abs()


@final
class Symmetrized(nn.Module):
    """``rho(x) + rho(-x)`` with a learned ``rho``: sees relative signs, costs two more matrix products.

    Source: arXiv:2406.10685, section 5 (canonicalization and symmetrization).
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.second = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        # Both terms share the product with the first matrix, and the second is linear: two products, not four.
        odd = nn.functional.linear(x, self.first.weight)
        both = nn.functional.silu(self.first.bias + odd) + nn.functional.silu(self.first.bias - odd)
        return self.second(both)


@final
class UnitNorm(nn.Module):
    """``x`` divided by its root mean square over channels; 0 stays 0.

    Source: arXiv:2406.10685, section 5; ours guards the norm instead of adding 1e-10 to it, so the law holds
    at any magnitude.
    """

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        # A constant factor changes neither the value nor its gradient. With the largest entry at 1, the square of
        # the reciprocal in the backward pass stays in the range of the numbers: in float32, 1 / 1e-30 ** 2 does not.
        x = x * reciprocal_or_zero(x.detach().abs().amax(-1, keepdim=True))
        return x * (reciprocal_or_zero(safe_norm(x)) * x.shape[-1] ** 0.5).unsqueeze(-1)


def invariant(group: ScaleName, width: int, hidden: int, sign: SignInvariant) -> nn.Module:
    """The invariant of ``group`` on vectors of ``width`` channels; same width out.

    Args:
        group: The scale group of the space where the vector lives.
        width: Channels.
        hidden: Hidden width of ``rho``, if ``sign`` asks for it.
        sign: How signs are removed; ``none`` gives the identity for every group (a control, not invariant).
    """
    if sign == "none" or group == "trivial":
        return nn.Identity()
    flip = Absolute() if sign == "absolute" else Symmetrized(width, hidden)
    if group == "sign":
        return flip
    return UnitNorm() if group == "positive" else nn.Sequential(UnitNorm(), flip)
