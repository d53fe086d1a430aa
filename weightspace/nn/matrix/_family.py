"""Configuration of the matrix family."""

from typing import Any, Literal, TypeVar, final

from pydantic import Field, model_validator

from ..._errors import ConfigError
from ...spec import SymmetrySpec, without_scales
from .._economy import checkpointed
from .._interfaces import AbstractFamily, Architecture
from .._symmetry import Symmetry
from ._models import MatrixFunctional, MatrixOperator
from ._probes import Probing

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
    probes: int = Field(default=0, ge=0, le=8192, description="Learned inputs that run through the networks read.")
    derivatives: bool = Field(default=False, description="Read gradients of the outputs on the learned inputs as well.")
    weights: bool = Field(default=True, description="Read the weights; without, outputs on the learned inputs alone.")
    recompute: bool = Field(
        default=False, description="Train with less memory: rounds are computed again in the backward pass, not kept."
    )
    symmetry: Symmetry = Field(
        default="full", description="full, permutations alone, or broken: the same parts with scales and signs left in."
    )

    @model_validator(mode="after")
    def _reads_what_it_says(self) -> "MatrixFamily":
        if self.derivatives and not self.probes:
            raise ValueError("derivatives are those of the outputs on probes, and probes is 0; set probes to 1 or more")
        return self

    @property
    def needs_module(self) -> bool:
        """Whether it has probes, which run through the networks."""
        return self.probes > 0

    def functional(self, architecture: Architecture, out: int) -> MatrixFunctional:
        """See :class:`MatrixFunctional`."""
        options = self._options(architecture)
        return self._done(MatrixFunctional(self._read(architecture), out=out, weights=self.weights, **options))

    def operator(self, architecture: Architecture) -> MatrixOperator:
        """See :class:`MatrixOperator`."""
        if not self.weights:
            raise ConfigError("an operator changes the weights, so it reads them. Set weights=True.")
        return self._done(MatrixOperator(self._read(architecture), **self._options(architecture)))

    def twins(self) -> dict[str, AbstractFamily]:
        """The symmetry-broken twin; answers to probes alone have no symmetry that could be left out."""
        full = self.symmetry == "full" and self.weights
        return {"broken": self.model_copy(update={"symmetry": "broken"})} if full else {}

    def _read(self, architecture: Architecture) -> SymmetrySpec:
        return without_scales(architecture.spec) if self.symmetry == "permutations" else architecture.spec

    def _options(self, architecture: Architecture) -> dict[str, Any]:
        options = self.model_dump(include={"width", "rounds", "direction", "even"})
        probing = Probing(self.probes, architecture.module, architecture.example, self.derivatives)
        return options | {
            "probing": probing if self.probes else None,
            "symmetry_broken": self.symmetry == "broken",
        }

    def _done(self, model: M) -> M:
        if self.recompute and self.weights:  # probes alone have no rounds
            checkpointed(model)
        return model
