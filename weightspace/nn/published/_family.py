"""Configuration of the published models."""

from dataclasses import replace
from typing import Literal, final

from pydantic import Field, field_validator

from ..._errors import ConfigError
from .._interfaces import AbstractFamily, Architecture
from ._models import PublishedFunctional, PublishedOperator
from ._presets import PRESETS, Preset

NAMES = {
    "functional": [name for name, one in PRESETS.items() if one.readout != "operator" and one.group != "hetero"],
    "operator": [name for name, one in PRESETS.items() if one.readout == "operator"],
}
"""Presets by what they are; mixed ones are neither, see below."""


@final
class PublishedFamily(AbstractFamily):
    """A published ScaleGMN configuration, for networks of another layout too; see :func:`weightspace.nn.paper`.

    A preset is for one scale group (signs or positive scales) and is either a functional or an operator. The mixed ones
    (``hetero``) read a bool per network beside it and are no family: call ``paper``.

    Source: arXiv:2406.10685; arXiv:2510.08300, appendix D.1 for operators.
    """

    kind: Literal["published"] = "published"
    preset: str = Field(default="mnist_cls", description="Name in PRESETS: mnist_cls, cifar10 relu -B, mnist_edit, ...")
    width: int | None = Field(default=None, ge=1, le=8192, description="Channels of every state. Default: published.")
    rounds: int | None = Field(default=None, ge=1, le=256, description="Rounds of messages. Default: published.")
    symmetry: Literal["full", "permutations"] = Field(
        default="full", description="full, or permutations alone: the published gauge-free baseline of the preset."
    )

    @field_validator("preset")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in PRESETS:
            raise ConfigError(
                f"there is no published configuration {name!r}. Choose one of "
                f"{', '.join(map(repr, NAMES['functional'] + NAMES['operator']))}; the gauge-free baseline of one is "
                "symmetry: permutations."
            )
        if PRESETS[name].group == "hetero":
            raise ConfigError(
                f"preset {name!r} reads a bool per network beside the parameters, which no task gives. Call "
                f"ws.nn.paper({name!r}), or choose one of {', '.join(map(repr, NAMES['functional']))}."
            )
        return name

    def functional(self, architecture: Architecture, out: int) -> PublishedFunctional:
        """See :func:`weightspace.nn.paper`."""
        return PublishedFunctional(replace(self._sized("functional"), out=out), architecture.spec)

    def operator(self, architecture: Architecture) -> PublishedOperator:
        """See :func:`weightspace.nn.paper`."""
        return PublishedOperator(self._sized("operator"), architecture.spec)

    def twins(self) -> dict[str, AbstractFamily]:
        """The published gauge-free baseline."""
        if self.symmetry == "permutations":
            return {}
        return {"permutations": self.model_copy(update={"symmetry": "permutations"})}

    def _sized(self, wanted: Literal["functional", "operator"]) -> Preset:
        if self.preset not in NAMES[wanted]:
            raise ConfigError(
                f"preset {self.preset!r} is no {wanted}. Choose one of {', '.join(map(repr, NAMES[wanted]))}."
            )
        preset = PRESETS[self.preset]
        if self.symmetry == "permutations":
            preset = replace(preset, group="permutation")
        sizes = {"width": self.width, "rounds": self.rounds}
        return replace(preset, **{key: value for key, value in sizes.items() if value is not None})
