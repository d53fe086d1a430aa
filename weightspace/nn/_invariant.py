"""Invariants: maps of a feature vector that a scale group cannot change.

Each takes the whole channel vector of a node or a message, on which a group element acts by one number. ``affine``
joins the invariant with the linear map that reads it, which is cheaper than one after the other.
"""

from dataclasses import replace
from typing import Literal, final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..gauge import reciprocal_or_zero, safe_norm
from ..spec import NeuronSpace, ScaleName
from ._activation import activate
from ._edges import Outer, affine, dense, linear

SignInvariant = Literal["absolute", "symmetrized", "none"]
"""How sign flips are removed: |x| per channel, rho(x) + rho(-x), or not at all (the symmetry-broken control)."""


def kind(space: NeuronSpace) -> ScaleName:
    """The scale group that acts on a space's features: trivial on fixed spaces."""
    return "trivial" if space.fixed else space.scale


@final
class Same(nn.Module):
    """``x`` itself: the invariant where nothing acts, and of the symmetry-broken control."""

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return x

    def affine(self, x: Tensor | Outer, weight: Float[Tensor, "o c"], shift: Tensor) -> Tensor:
        """``F.linear(self(x), weight) + shift``."""
        return affine(x, weight, shift)


@final
class Absolute(nn.Module):
    """``|x|`` per channel; cheap, but also blind to the relative signs between channels."""

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return x.abs()

    def affine(self, x: Tensor | Outer, weight: Float[Tensor, "o c"], shift: Tensor) -> Tensor:
        """``F.linear(self(x), weight) + shift``."""
        if isinstance(x, Outer):
            return affine(replace(x, number=x.number.abs(), vector=x.vector.abs()), weight, shift)
        return affine(x.abs(), weight, shift)


@final
class Symmetrized(nn.Module):
    """``rho(x) + rho(-x)`` with a learned ``rho``: sees relative signs, costs two more matrix products.

    Args:
        width: Channels.
        hidden: Hidden width of ``rho``.
        norm: LayerNorm before the activation of ``rho``.
        dropout: Probability on hidden units. One mask for both terms: with two the sum would not be invariant.

    Source: arXiv:2406.10685, section 5 (canonicalization and symmetrization).
    """

    def __init__(self, width: int, hidden: int, *, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return F.linear(self._hidden(x), self.second.weight, 2 * self.second.bias)

    def affine(self, x: Tensor | Outer, weight: Float[Tensor, "o c"], shift: Tensor) -> Tensor:
        """``F.linear(self(x), weight) + shift``."""
        # The second matrix of rho and `weight` meet before they meet the edges: one product less on each.
        return affine(self._hidden(x), weight @ self.second.weight, shift + 2 * (weight @ self.second.bias))

    def _hidden(self, x: Tensor | Outer) -> Tensor:
        # Both terms share the product with the first matrix, and the second is linear: two products, not four.
        odd = dense(linear(x, self.first.weight))
        both = activate(self.first.bias + odd, self.norm) + activate(self.first.bias - odd, self.norm)
        return self.dropout(both)


@final
class UnitNorm(nn.Module):
    """``x`` rescaled to a given length; 0 stays 0.

    Args:
        length: Of the result. The square root of the number of channels makes their root mean square 1.

    Source: arXiv:2406.10685, section 5; ours guards the norm instead of adding 1e-10 to it, so the law holds
    at any magnitude.
    """

    def __init__(self, length: float = 1.0) -> None:
        super().__init__()
        self.length = length

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        # A constant factor changes neither the value nor its gradient. With the largest entry at 1, the square of
        # the reciprocal in the backward pass stays in the range of the numbers: in float32, 1 / 1e-30 ** 2 does not.
        x = x * reciprocal_or_zero(x.detach().abs().amax(-1, keepdim=True))
        return x * (reciprocal_or_zero(safe_norm(x)) * self.length).unsqueeze(-1)

    def affine(self, x: Tensor | Outer, weight: Float[Tensor, "o c"], shift: Tensor) -> Tensor:
        """``F.linear(self(x), weight) + shift``."""
        if isinstance(x, Outer):
            return affine(replace(x, number=x.number.sign(), vector=self(x.vector)), weight, shift)
        return affine(self(x), weight, shift)


@final
class UnitNormThen(nn.Module):
    """The sign invariant of a vector rescaled to unit length, for scales of both signs."""

    def __init__(self, unit: UnitNorm, flip: Absolute | Symmetrized) -> None:
        super().__init__()
        self.unit = unit
        self.flip = flip

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return self.flip(self.unit(x))

    def affine(self, x: Tensor | Outer, weight: Float[Tensor, "o c"], shift: Tensor) -> Tensor:
        """``F.linear(self(x), weight) + shift``."""
        return self.flip.affine(self.unit(dense(x)), weight, shift)


Invariant = Same | Absolute | Symmetrized | UnitNorm | UnitNormThen


def invariant(group: ScaleName, width: int, hidden: int, sign: SignInvariant) -> Invariant:
    """The invariant of ``group`` on vectors of ``width`` channels; same width out.

    Args:
        group: The scale group of the space where the vector lives.
        width: Channels.
        hidden: Hidden width of ``rho``, if ``sign`` asks for it.
        sign: How signs are removed; ``none`` gives the identity for every group (a control, not invariant).
    """
    if sign == "none" or group == "trivial":
        return Same()
    flip = Absolute() if sign == "absolute" else Symmetrized(width, hidden)
    if group == "sign":
        return flip
    unit = UnitNorm(width**0.5)
    return unit if group == "positive" else UnitNormThen(unit, flip)
