"""An MLP on statistics of every parameter tensor (StatNN): the baseline of papers that predict accuracies from weights.

Source: Unterthiner et al. 2020, Predicting Neural Network Accuracy from Weights, arXiv:2002.11448.
"""

from collections.abc import Mapping
from typing import Literal, NoReturn, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from .._errors import ConfigError
from ..spec import SymmetrySpec
from ._checks import check_counts, check_stack
from ._interfaces import AbstractFamily, AbstractFunctional, Architecture
from ._perceptron import Perceptron
from ._tensors import readable, rows

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
STATISTICS = 2 + len(QUANTILES)
"""Numbers per tensor: mean, variance and quantiles."""
SHARPNESS = 100.0


@final
class StatisticsFunctional(AbstractFunctional):
    """A vector per network, from mean, variance and the 0, 25, 50, 75 and 100 % quantiles of every parameter tensor.

    Called with stacked parameters (``dict`` of name to ``[b, *shape]``), returns ``[b, out]``. Permutations of neurons
    do not change it (they only reorder the numbers of a tensor); signs and positive scales do. Statistics pass through
    ``asinh(100 x)``, so that variances of 0.01 and means of 0.001 count beside maxima of 1.

    Args:
        spec: Architecture of the networks read; any.
        out: Length of the vector.
        width: Hidden units of a layer.
        depth: Hidden layers.

    Raises:
        ConfigError: for a size below 1.
        SpecError: if the architecture has no parameters.
    """

    def __init__(self, spec: SymmetrySpec, out: int = 1, *, width: int = 128, depth: int = 2) -> None:
        super().__init__()
        check_counts(width=width, depth=depth, out=out)
        self.spec = spec
        self.sizes = readable(spec)
        self.mlp = Perceptron(STATISTICS * len(self.sizes), width, depth, out)

    def forward(self, params: Mapping[str, Tensor]) -> Float[Tensor, "b o"]:
        check_stack(params, self.spec, self.mlp.last.weight)
        values = rows(params, self.sizes, self.mlp.last.weight)
        return self.mlp((SHARPNESS * torch.cat([statistics(x) for x in values.values()], 1)).asinh())


@final
class StatisticsFamily(AbstractFamily):
    """An MLP on statistics of every parameter tensor (StatNN, arXiv:2002.11448); it has no operators."""

    kind: Literal["statistics"] = "statistics"
    width: int = Field(default=128, ge=1, le=65536, description="Hidden units of a layer.")
    depth: int = Field(default=2, ge=1, le=64, description="Hidden layers.")

    def functional(self, architecture: Architecture, out: int) -> StatisticsFunctional:
        """See :class:`StatisticsFunctional`."""
        return StatisticsFunctional(architecture.spec, out, width=self.width, depth=self.depth)

    def operator(self, architecture: Architecture) -> NoReturn:
        """None: what is left of a network says nothing of single weights.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"statistics of {architecture.spec} say nothing of single weights, so this family has no operators. "
            "Take one that has: kind: scale, kind: deepsets or kind: flat."
        )


def statistics(x: Float[Tensor, "b k"]) -> Float[Tensor, "b s"]:
    """Mean, variance and quantiles of every row; quantiles between two entries are interpolated."""
    ordered, last = x.sort(1).values, x.shape[1] - 1
    found = [x.mean(1), x.var(1, correction=0)]
    for quantile in QUANTILES:
        low = int(quantile * last)
        found.append(ordered[:, low].lerp(ordered[:, min(low + 1, last)], quantile * last - low))
    return torch.stack(found, 1)
