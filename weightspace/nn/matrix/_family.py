"""Configuration of the matrix family."""

from typing import Any, Literal, TypeVar, final

from pydantic import Field

from ...spec import SymmetrySpec
from .._economy import checkpointed
from .._interfaces import AbstractFamily, Architecture
from .._symmetry import Symmetry, without_scales
from ._models import MatrixFunctional, MatrixOperator

M = TypeVar("M", MatrixFunctional, MatrixOperator)


@final
class MatrixFamily(AbstractFamily):
    """States on neurons alone, on which weights act as matrices: edges x width a round."""

    kind: Literal["matrix"] = "matrix"
    width: int = Field(default=32, ge=1, le=8192, description="Feature channels per neuron.")
    rounds: int = Field(default=4, ge=1, le=256, description="Rounds of messages.")
    direction: Literal["forward", "bidirectional"] = Field(
        default="bidirectional", description="Direction of messages."
    )
    even: bool = Field(default=True, description="Send magnitudes along squared weights as well.")
    recompute: bool = Field(
        default=False, description="Train with less memory: rounds are computed again in the backward pass, not kept."
    )
    symmetry: Symmetry = Field(
        default="full", description="full, permutations alone, or broken: the same parts with scales and signs left in."
    )

    def functional(self, architecture: Architecture, out: int) -> MatrixFunctional:
        """See :class:`MatrixFunctional`."""
        return self._done(MatrixFunctional(self._read(architecture), out=out, **self._options()))

    def operator(self, architecture: Architecture) -> MatrixOperator:
        """See :class:`MatrixOperator`."""
        return self._done(MatrixOperator(self._read(architecture), **self._options()))

    def twins(self) -> dict[str, AbstractFamily]:
        """The symmetry-broken twin."""
        return {"broken": self.model_copy(update={"symmetry": "broken"})} if self.symmetry == "full" else {}

    def _read(self, architecture: Architecture) -> SymmetrySpec:
        return without_scales(architecture.spec) if self.symmetry == "permutations" else architecture.spec

    def _options(self) -> dict[str, Any]:
        options = self.model_dump(include={"width", "rounds", "direction", "even"})
        return options | {"symmetry_broken": self.symmetry == "broken"}

    def _done(self, model: M) -> M:
        if self.recompute:
            checkpointed(model)
        return model
