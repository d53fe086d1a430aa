"""What to merge, how, and where to: the short YAML file that users of merge tools know."""

import difflib
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from ..._errors import ConfigError
from ..._frozen import Frozen
from ..config import read_yaml

MOST_RESTARTS = 10_000
"""Each random start of an alignment takes as long as the alignment from one start."""

_CANCELLED = 1e-3
"""Smallest sum of weights, relative to that of their sizes: below it, rounding stands out of the mean."""


class Weight(Frozen):
    """How much of a network goes into the mean."""

    weight: float = Field(default=1.0, description="Share of this network in the mean.")


class Source(Frozen):
    """One network to merge."""

    model: Path = Field(description="File, or folder of shards with their index.")
    parameters: Weight = Weight()
    element: Path | None = Field(default=None, description="Saved element that moves it to the common gauge (linear).")


class Shared(Frozen):
    """What holds for all networks."""

    normalize: bool = Field(default=True, description="Whether weights are divided by their sum.")


class MergeRecipe(Frozen):
    """One merge. Paths are relative to the folder that the command is typed in."""

    merge_method: Literal["linear", "uniform", "aligned", "greedy"] = Field(
        description="linear: as stored, by weights; uniform: as stored, all alike; aligned: in a common gauge; "
        "greedy: aligned, kept only while accuracy grows."
    )
    match: Literal["weights", "features"] | None = Field(
        default=None,
        description="What brings networks to the common gauge: their weights, or what neurons do on training images. "
        "Default: features where there are images.",
    )
    permutations_only: bool | None = Field(
        default=None,
        description="Match over the order of neurons alone: no signs, no scales. Default: where weights are matched, "
        "the networks share no past, and gains of a normalization stand on their neurons.",
    )
    models: tuple[Source, ...] = Field(min_length=2, description="The networks.")
    base_model: Path | None = Field(
        default=None, description="The one of them whose gauge, files, metadata and counters the result has."
    )
    parameters: Shared = Shared()
    dtype: Literal["float16", "bfloat16", "float32", "float64"] | None = Field(
        default=None, description="Number type of the result; the base model's by default."
    )
    architecture: str | None = Field(default=None, description="PACKAGE.MODULE:FACTORY of the torch module.")
    input: str | tuple[str, ...] | None = Field(default=None, description="Shape of its input, e.g. '2,3,32,32'.")
    spec: Path | None = Field(default=None, description="Text of the spec, instead of the architecture.")
    images: str | None = Field(
        default=None, description="Image set for choosing (greedy), features and statistics, in the input's size."
    )
    statistics: Literal["repair", "reestimate", "none"] | None = Field(
        default=None,
        description="Afterwards, on training images: repair channel means and deviations, or batch statistics alone. "
        "Default: repair (greedy: reestimate) where there are images and batch normalization.",
    )
    restarts: int = Field(default=0, ge=0, le=MOST_RESTARTS, description="Random starts of the alignment.")
    seed: int = Field(default=0, ge=0, description="Of the random starts.")
    output: Path | None = Field(default=None, description="File, or folder for shards. --out replaces it.")

    @field_validator("models", mode="before")
    @classmethod
    def _plain_names(cls, value: Any) -> Any:
        return (
            [{"model": item} if isinstance(item, str) else item for item in value] if isinstance(value, list) else value
        )

    @field_validator("input", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        # YAML reads 2,64 as text and [2, 64] as numbers; both are meant.
        whole = isinstance(value, list) and value and all(isinstance(item, int) for item in value)
        return ",".join(map(str, value)) if whole else value

    @model_validator(mode="after")
    def _fits_together(self) -> "MergeRecipe":
        if self.base_model is not None and self.base_model not in [source.model for source in self.models]:
            raise ValueError(f"base_model {self.base_model} is not among the models. Name one of them")
        if self.as_stored:
            if self.images or self.statistics or self.match == "features" or self.permutations_only:
                raise ValueError(
                    f"merge_method {self.merge_method} uses no images and matches nothing. Remove 'images', "
                    "'statistics', 'match' and 'permutations_only', or take aligned"
                )
        else:
            self._has_what_alignment_needs()
        if self.merge_method in ("uniform", "greedy") and len(set(self.weights_as_given)) > 1:
            other = {"uniform": "linear", "greedy": "aligned"}[self.merge_method]
            raise ValueError(
                f"merge_method {self.merge_method} gives no network a weight. Remove them, or take {other}"
            )
        total, size = math.fsum(self.weights_as_given), math.fsum(map(abs, self.weights_as_given))
        if self.parameters.normalize and not abs(total) > _CANCELLED * size:
            raise ValueError(
                f"the weights add up to {total:g}, so that dividing by their sum would blow up what is left of the "
                "networks. Change one, or set parameters: {normalize: false}"
            )
        return self

    def _has_what_alignment_needs(self) -> None:
        moved = [source.model for source in self.models if source.element is not None]
        if moved:
            raise ValueError(
                f"{moved[0]} has an element, which only merge_method linear uses. Remove it, or take linear"
            )
        if self.architecture is None and self.spec is None:
            raise ValueError(
                f"merge_method {self.merge_method} needs the architecture: add 'architecture: package.module:factory' "
                "(--model) or 'spec: FILE' (--spec), or take linear for networks in a common gauge"
            )
        corrected = self.statistics not in (None, "none")
        measured = self.images or corrected or self.merge_method == "greedy" or self.match == "features"
        if measured and not (self.architecture and self.images):
            raise ValueError(
                "measuring on images needs both 'images' (--images), e.g. digits, and 'architecture' (--model)"
            )
        if not self.parameters.normalize:
            raise ValueError(f"normalize: false goes with merge_method linear, not with {self.merge_method}")
        if self.merge_method == "greedy" and self.statistics == "repair":
            raise ValueError("merge_method greedy goes with statistics: reestimate, or none; repair needs all networks")

    @property
    def as_stored(self) -> bool:
        """Whether numbers are taken as they are, piece by piece, and no architecture is needed."""
        return self.merge_method in ("linear", "uniform")

    @property
    def weights_as_given(self) -> list[float]:
        """By network."""
        return [source.parameters.weight for source in self.models]

    @property
    def weights(self) -> list[float]:
        """By network, divided by their sum unless ``normalize`` is off."""
        total = math.fsum(self.weights_as_given) if self.parameters.normalize else 1.0
        return [weight / total for weight in self.weights_as_given]

    @property
    def base(self) -> int:
        """Which of the models is the base."""
        return 0 if self.base_model is None else [source.model for source in self.models].index(self.base_model)


_GROUPS = {"models": Source, "models.parameters": Weight, "parameters": Shared}
"""Groups of keys inside the recipe."""


def read_recipe(path: Path) -> MergeRecipe:
    """The recipe in a YAML file.

    Raises:
        ConfigError: if it cannot be read, naming every key that is unknown (with the nearest known one), missing or
            out of range.
    """
    return parse_recipe(read_yaml(path), str(path))


def parse_recipe(content: dict[str, Any], said: str) -> MergeRecipe:
    """The recipe in nested dictionaries; ``said`` names their source in messages.

    Raises:
        ConfigError: see :func:`read_recipe`.
    """
    try:
        return MergeRecipe.model_validate(content)
    except ValidationError as error:
        lines = [_explained(entry) for entry in error.errors(include_url=False)]
        raise ConfigError("\n  ".join([f"the recipe {said} does not fit:", *lines])) from error


def _explained(entry: Any) -> str:
    """One entry that does not fit, in words."""
    place = ".".join(str(part) for part in entry["loc"])
    if entry["type"] == "extra_forbidden":
        group = ".".join(part for part in entry["loc"][:-1] if isinstance(part, str))
        known = list(_GROUPS.get(group, MergeRecipe).model_fields)
        if entry["loc"][-1] == "weights":
            return f"{place}: there is no such key. Write parameters: {{weight: 0.5}} under each model."
        near = difflib.get_close_matches(str(entry["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."
        return f"{place}: there is no such key. {hint}"
    message = entry["msg"].removeprefix("Value error, ")
    return f"{place}: {message}." if place else f"{message}."
