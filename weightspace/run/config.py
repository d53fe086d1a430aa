"""The configuration of a run: frozen, complete, written beside every result as YAML."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from .._errors import ConfigError
from .._frozen import Frozen
from ..tasks import check_l1
from ..zoo import ZooConfig


class ZooRef(Frozen):
    """Which zoo a run reads: a folder, used as it is, and how to make the zoo if the folder holds none."""

    path: str | None = Field(default=None, description="Zoo folder. Default: 'zoo' inside the run's folder.")
    make: ZooConfig | None = Field(default=None, description="How to make the zoo if the folder has none.")

    @model_validator(mode="after")
    def _has_a_source(self) -> "ZooRef":
        if self.path is None and self.make is None:
            raise ValueError("a run needs a zoo folder (path) or a recipe to make one (make)")
        return self


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


class OperatorConfig(Frozen):
    """Size and symmetry of the operator."""

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


class TrainConfig(Frozen):
    """The training loop; networks do not interact, so a batch is only a sample."""

    steps: int = Field(default=800, ge=1, description="Optimizer steps.")
    batch_size: int = Field(default=32, ge=1, description="Networks per step.")
    micro_batch: int | None = Field(
        default=None,
        ge=1,
        description="Networks per pass; gradients of a step's passes are added up, for less memory. Default: all.",
    )
    images_per_step: int = Field(default=2000, ge=1, description="Training images per step, shared by its networks.")
    learning_rate: float = Field(default=1e-3, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(default=1e-3, ge=0, description="Decoupled weight decay of AdamW.")
    warmup: int = Field(default=20, ge=0, description="Steps of linear warm-up; a cosine to 0 follows.")
    clip: float = Field(default=1.0, gt=0, description="Largest global norm of the gradient.")
    validate_every: int = Field(default=25, ge=1, description="Steps between validations.")
    validation_networks: int = Field(default=128, ge=1, description="Validation networks used, evenly spaced over all.")
    patience: int = Field(default=10, ge=1, description="Validations without a lower loss before training stops.")
    checkpoint_seconds: float = Field(
        default=30.0, ge=0, description="Seconds between checkpoints of the running state."
    )
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="Where the operator is trained.")
    seed: int = Field(default=0, ge=0, description="Seed of initialization and of all draws.")

    @property
    def per_pass(self) -> int:
        """Most networks that go through the operator together."""
        return min(self.micro_batch or self.batch_size, self.batch_size)


class FilterConfig(Frozen):
    """Which networks of the zoo take part."""

    min_val_accuracy: float = Field(default=0.0, ge=0, le=1, description="Lowest accuracy on the validation images.")


class EvaluateConfig(Frozen):
    """The results table."""

    sgd_epochs: tuple[int, ...] = Field(default=(5, 25), description="Epochs of the SGD fine-tuning rows.")
    adam_epochs: tuple[int, ...] = Field(default=(5, 25), description="Epochs of the Adam fine-tuning rows.")
    sgd_learning_rates: tuple[float, ...] = Field(
        default=(1.0, 0.3, 0.1, 0.03, 0.01), description="Tried on validation networks."
    )
    adam_learning_rates: tuple[float, ...] = Field(
        default=(3e-2, 1e-2, 3e-3, 1e-3, 3e-4), description="Tried on validation networks."
    )
    tuning_networks: int = Field(default=8, ge=1, description="Validation networks used to choose a learning rate.")
    batch_size: int = Field(default=64, ge=1, description="Images per fine-tuning step.")
    magnitude: tuple[float, ...] = Field(default=(0.5, 0.7, 0.85), description="Fractions of the pruning rows.")
    max_networks: int | None = Field(
        default=None, ge=2, description="Test networks in the table, evenly spaced. Default: all."
    )


class Run(Frozen):
    """One trained operator, its symmetry-broken twin and their table."""

    name: str = Field(default="custom", description="Name of the recipe.")
    zoo: ZooRef
    objective: ObjectiveConfig = CrossEntropy()
    model: OperatorConfig = OperatorConfig()
    train: TrainConfig = TrainConfig()
    filter: FilterConfig = FilterConfig()
    evaluate: EvaluateConfig = EvaluateConfig()


def to_yaml(config: BaseModel) -> str:
    """The configuration as YAML; :func:`from_yaml` reads it back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def read_yaml(path: Path) -> dict[str, Any]:
    """The entries of a YAML file.

    Raises:
        ConfigError: if it cannot be read, or holds something else.
    """
    try:
        value = yaml.safe_load(path.read_text())
    # A number of thousands of digits is a ValueError, as is text that is not UTF-8.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise ConfigError(f"cannot read {path}: {reason}. Check the path and the file.") from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{path} holds no 'name: value' lines. Start from the config.yaml of a run, or from --help.")
    return value


def from_yaml(path: Path) -> Run:
    """The run written in a YAML file.

    Raises:
        ConfigError: naming the first key that is unknown, missing or out of range.
    """
    return parse_run(read_yaml(path))


def parse_run(value: Any) -> Run:
    """The run described by nested dictionaries, checked."""
    try:
        return Run.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the configuration"
        raise ConfigError(
            f"{place}: {first['msg']}. Correct this entry; weightspace train --help lists all."
        ) from error
