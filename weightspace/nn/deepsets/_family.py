"""Configuration of the Deep Sets family."""

from typing import Literal, final

from pydantic import Field

from ...spec import SymmetrySpec, without_scales
from .._interfaces import AbstractFamily, Architecture
from ._models import DeepSetsFunctional, DeepSetsOperator


@final
class DeepSetsFamily(AbstractFamily):
    """Neurons described one by one, and averaged: a baseline that knows the symmetry and not which neurons meet."""

    kind: Literal["deepsets"] = "deepsets"
    width: int = Field(default=64, ge=1, le=8192, description="Feature channels per neuron.")
    symmetry: Literal["full", "permutations"] = Field(
        default="full", description="full, or permutations alone: weights are read with their signs and scales."
    )

    def functional(self, architecture: Architecture, out: int) -> DeepSetsFunctional:
        """See :class:`DeepSetsFunctional`."""
        return DeepSetsFunctional(self._read(architecture), out, width=self.width)

    def operator(self, architecture: Architecture) -> DeepSetsOperator:
        """See :class:`DeepSetsOperator`."""
        return DeepSetsOperator(self._read(architecture), width=self.width)

    def twins(self) -> dict[str, AbstractFamily]:
        """The same parts on signed and scaled weights."""
        if self.symmetry == "permutations":
            return {}
        return {"permutations": self.model_copy(update={"symmetry": "permutations"})}

    def _read(self, architecture: Architecture) -> SymmetrySpec:
        return without_scales(architecture.spec) if self.symmetry == "permutations" else architecture.spec
