"""The configuration of a run: frozen, complete, written beside every result as YAML."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, Field, SerializeAsAny, ValidationError, model_validator

from .._errors import ConfigError
from .._frozen import Frozen
from ..nn import AbstractFamily, MatrixFamily
from ..tasks import AbstractTask, Improve
from ..zoo import AnyZooConfig

OURS = "ours"
"""Name of the run's own model; its twins have names of their own."""


class ZooRef(Frozen):
    """Which zoo a run reads: a folder, used as it is, and how to make the zoo if the folder holds none."""

    path: str | None = Field(default=None, description="Zoo folder. Default: 'zoo' inside the run's folder.")
    make: AnyZooConfig | None = Field(default=None, description="How to make the zoo if the folder has none.")

    @model_validator(mode="after")
    def _has_a_source(self) -> "ZooRef":
        if self.path is None and self.make is None:
            raise ValueError("a run needs a zoo folder (path) or a recipe to make one (make)")
        return self


class TrainConfig(Frozen):
    """The training loop; networks do not interact, so a batch is only a sample."""

    steps: int = Field(default=800, ge=1, description="Optimizer steps.")
    batch_size: int = Field(default=32, ge=1, description="Networks per step.")
    micro_batch: int | None = Field(
        default=None,
        ge=1,
        description="Networks per pass; gradients of a step's passes are added up, for less memory. Default: all.",
    )
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
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="Where models are trained.")
    seed: int = Field(default=0, ge=0, description="Seed of initialization and of all draws.")

    @property
    def per_pass(self) -> int:
        """Most networks that go through a model together."""
        return min(self.micro_batch or self.batch_size, self.batch_size)


class EvaluateConfig(Frozen):
    """The results table."""

    max_networks: int | None = Field(
        default=None, ge=2, description="Test networks in the table, evenly spaced. Default: all."
    )


class Run(Frozen):
    """One trained metanetwork, the twins of its family, and their table."""

    name: str = Field(default="custom", description="Name of the recipe.")
    zoo: ZooRef
    task: Annotated[SerializeAsAny[AbstractTask], BeforeValidator(AbstractTask.read)] = Improve()
    model: Annotated[SerializeAsAny[AbstractFamily], BeforeValidator(AbstractFamily.read)] = MatrixFamily()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def fixed(self) -> dict[str, Any]:
        """What may not change once training has begun, as plain data."""
        return self.model_dump(mode="json", exclude={"evaluate": True, "task": set(self.task.later)})

    def models(self) -> dict[str, AbstractFamily]:
        """Everything that is trained, by name: the model itself, then its twins."""
        return {OURS: self.model, **self.model.twins()}


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
        place, first = _first(error)
        raise ConfigError(
            f"{place or 'the configuration'}: {first}. Correct this entry; weightspace train --help lists all."
        ) from error


def _first(error: ValidationError) -> tuple[str, str]:
    """Where the first thing stands that is wrong, and what is wrong with it."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    inner = (first.get("ctx") or {}).get("error")
    if not isinstance(inner, ValidationError):
        return place, first["msg"]
    # A configuration of a kind is checked by its own class.
    inside, what = _first(inner)
    return f"{place}.{inside}", what
