"""Configuration of the task: what improved networks are judged by, and the rows of its table."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from ..._frozen import Frozen
from .objective import check_l1


class CrossEntropy(Frozen):
    """Minimize the cross-entropy with the labels."""

    kind: Literal["ce"] = "ce"
    l1: float = Field(default=0.0, description="Weight of the sum of all absolute parameters.")

    @model_validator(mode="after")
    def _check(self) -> "CrossEntropy":
        check_l1(self.kind, self.l1)
        return self


class Distill(Frozen):
    """Keep each network's own outputs while its weights shrink."""

    kind: Literal["distill"] = "distill"
    l1: float = Field(default=5e-4, description="Weight of the sum of all absolute parameters; must be above 0.")

    @model_validator(mode="after")
    def _check(self) -> "Distill":
        check_l1(self.kind, self.l1)
        return self


ObjectiveConfig = Annotated[CrossEntropy | Distill, Field(discriminator="kind")]

Fraction = Annotated[float, Field(gt=0, lt=1)]


class ImproveTable(Frozen):
    """The methods that an operator is compared with."""

    sgd_epochs: tuple[PositiveInt, ...] = Field(default=(5, 25), description="Epochs of the SGD fine-tuning rows.")
    adam_epochs: tuple[PositiveInt, ...] = Field(default=(5, 25), description="Epochs of the Adam fine-tuning rows.")
    sgd_learning_rates: tuple[PositiveFloat, ...] = Field(
        default=(1.0, 0.3, 0.1, 0.03, 0.01), description="Tried on validation networks."
    )
    adam_learning_rates: tuple[PositiveFloat, ...] = Field(
        default=(3e-2, 1e-2, 3e-3, 1e-3, 3e-4), description="Tried on validation networks."
    )
    tuning_networks: int = Field(default=8, ge=1, description="Validation networks used to choose a learning rate.")
    batch_size: int = Field(default=64, ge=1, description="Images per fine-tuning step.")
    magnitude: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(0.5, 0.7, 0.85), description="Fractions of the pruning rows."
    )
