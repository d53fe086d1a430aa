"""Configuration of the scale family."""

from collections.abc import Callable
from typing import Literal, TypeVar, final

from pydantic import Field

from ..._errors import SpecError
from ...spec import without_scales
from ...view import MatrixView
from .._economy import checkpointed
from .._interfaces import AbstractFamily, Architecture
from .._symmetry import Symmetry
from ._models import EquivariantOperator, InvariantFunctional, plain_view

M = TypeVar("M", InvariantFunctional, EquivariantOperator)


@final
class ScaleFamily(AbstractFamily):
    """States on neurons and on weights, after arXiv:2406.10685."""

    kind: Literal["scale"] = "scale"
    width: int = Field(default=32, ge=1, le=8192, description="Feature channels per neuron and per weight.")
    rounds: int = Field(default=4, ge=1, le=256, description="Rounds of message passing.")
    direction: Literal["forward", "bidirectional"] = Field(
        default="bidirectional", description="Direction of messages."
    )
    sign: Literal["absolute", "symmetrized"] = Field(default="absolute", description="Invariant for sign groups.")
    positive: Literal["normal_form", "blocks"] = Field(
        default="normal_form", description="How positive scales are handled."
    )
    recompute: bool = Field(
        default=False, description="Train with less memory: rounds are computed again in the backward pass, not kept."
    )
    symmetry: Symmetry = Field(
        default="full", description="full, permutations alone, or broken: the same parts without scales divided out."
    )

    def functional(self, architecture: Architecture, out: int) -> InvariantFunctional:
        """See :class:`InvariantFunctional`."""
        return self._made(InvariantFunctional, architecture, out=out)

    def operator(self, architecture: Architecture) -> EquivariantOperator:
        """See :class:`EquivariantOperator`."""
        return self._made(EquivariantOperator, architecture)

    def twins(self) -> dict[str, AbstractFamily]:
        """The symmetry-broken twin of arXiv:2510.08300."""
        return {"broken": self.model_copy(update={"symmetry": "broken"})} if self.symmetry == "full" else {}

    def _made(self, model: Callable[..., M], architecture: Architecture, **sizes: int) -> M:
        spec = without_scales(architecture.spec) if self.symmetry == "permutations" else architecture.spec
        options = self.model_dump(include={"width", "rounds", "direction", "sign", "positive"}) | sizes
        try:
            plain_view(spec)
        except SpecError as error:
            MatrixView(spec)  # what no family reads ends here, by its own name
            raise SpecError(f"{error} Or take the family that reads all of it: --model.kind matrix.") from error
        made = model(spec, symmetry_broken=self.symmetry == "broken", **options)
        if self.recompute:
            checkpointed(made)
        return made
