"""An MLP on all parameters, one after another: the control that knows of no symmetry at all.

Whatever it learns it learns of places: two networks that compute the same function are strangers to it. It reads every
architecture.
"""

from collections.abc import Mapping
from typing import Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from .._types import Params
from ..spec import SymmetrySpec
from ._checks import check_counts, check_stack
from ._interfaces import AbstractFamily, AbstractFunctional, AbstractOperator, Architecture
from ._perceptron import Perceptron
from ._tensors import in_units, log_unit, readable, rows

Units = dict[str, Tensor]
"""Root mean square of every tensor of every network, ``[b]``."""


@final
class FlatFunctional(AbstractFunctional):
    """A vector per network, by an MLP on its parameters; no symmetry is respected.

    Called with stacked parameters (``dict`` of name to ``[b, *shape]``), returns ``[b, out]``.

    Args:
        spec: Architecture of the networks read; any.
        out: Length of the vector.
        width: Hidden units of a layer.
        depth: Hidden layers.
        dropout: Probability on hidden units.

    Raises:
        ConfigError: for a size below 1.
        SpecError: if the architecture has no parameters.
    """

    def __init__(
        self, spec: SymmetrySpec, out: int = 1, *, width: int = 256, depth: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_counts(width=width, depth=depth, out=out)
        self.spec = spec
        self.sizes = readable(spec)
        self.mlp = Perceptron(sum(self.sizes.values()) + len(self.sizes), width, depth, out, dropout)

    def forward(self, params: Mapping[str, Tensor]) -> Float[Tensor, "b o"]:
        check_stack(params, self.spec, self.mlp.last.weight)
        x, _ = standardized(rows(params, self.sizes, self.mlp.last.weight))
        return self.mlp(x)


@final
class FlatOperator(AbstractOperator):
    """New parameters for every network, by an MLP on its parameters; no symmetry is respected.

    Called with stacked parameters (``dict`` of name to ``[b, *shape]``), returns the same. Every tensor has one learned
    step, in units of its root mean square: a tensor of zeros stays so. Running variances (axes with an offset) change
    by a factor and stay positive; whole numbers do not change. Arguments and errors are those of
    :class:`FlatFunctional`.
    """

    initial_step = 0.1

    def __init__(self, spec: SymmetrySpec, *, width: int = 256, depth: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        check_counts(width=width, depth=depth)
        self.spec = spec
        self.sizes = readable(spec)
        self.positive = {name for name, axes in spec.params if any(part.offset for a in axes for part in a.parts)}
        total = sum(self.sizes.values())
        self.mlp = Perceptron(total + len(self.sizes), width, depth, total, dropout)
        self.steps = nn.Parameter(torch.full((len(self.sizes),), self.initial_step))

    def delta(self, params: Mapping[str, Tensor]) -> Params:
        """The changes alone, stacked as the parameters are."""
        check_stack(params, self.spec, self.steps)
        x, units = standardized(rows(params, self.sizes, self.steps))
        changes = {name: torch.zeros_like(params[name]) for name in self.spec.axes}
        parts = zip(self.sizes, self.mlp(x).split([*self.sizes.values()], -1), self.steps, strict=True)
        for name, part, step in parts:
            value = params[name]
            if name in self.positive:
                changes[name] = value * torch.expm1(step * part).reshape(value.shape)
            elif value.is_floating_point():
                changes[name] = (units[name].unsqueeze(1) * step * part).reshape(value.shape)
        return changes


@final
class FlatFamily(AbstractFamily):
    """An MLP on all parameters, one after another: a control without any symmetry."""

    kind: Literal["flat"] = "flat"
    width: int = Field(default=256, ge=1, le=65536, description="Hidden units of a layer.")
    depth: int = Field(default=2, ge=1, le=64, description="Hidden layers.")
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0, description="Probability on hidden units.")

    def functional(self, architecture: Architecture, out: int) -> FlatFunctional:
        """See :class:`FlatFunctional`."""
        return FlatFunctional(architecture.spec, out, width=self.width, depth=self.depth, dropout=self.dropout)

    def operator(self, architecture: Architecture) -> FlatOperator:
        """See :class:`FlatOperator`."""
        return FlatOperator(architecture.spec, width=self.width, depth=self.depth, dropout=self.dropout)


def standardized(values: Mapping[str, Float[Tensor, "b _"]]) -> tuple[Float[Tensor, "b f"], Units]:
    """Rows divided by their root mean square, one after another, then the logarithms of these; and these.

    A tensor of zeros stays zero.
    """
    read = {name: in_units(x) for name, x in values.items()}
    logs = torch.stack([log_unit(unit) for _, unit in read.values()], 1)
    return torch.cat([*(x for x, _ in read.values()), logs], 1), {name: unit for name, (_, unit) in read.items()}
