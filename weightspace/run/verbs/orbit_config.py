"""Configuration of an orbit experiment: which networks, which copies of them, how the pairs are brought together."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from ..._frozen import Frozen
from ...tasks.merging.orbit_curves import OrbitMethod
from ...tasks.merging.perturb import SCALE_STD, OrbitKind
from ...zoo import InrZooConfig, SeedZooConfig


class OrbitPanel(Frozen):
    """One panel of the figure: copies of one kind, with or without noise."""

    name: str = Field(pattern="^[0-9a-z_]+$", description="In tables, and the name of its file.")
    kind: OrbitKind = Field(description="What moves the copies.")
    sigma: float = Field(default=0.0, ge=0, description="Standard deviation of the noise on the second network.")


class OrbitRun(Frozen):
    """Interpolation between copies of networks in different gauges.

    Source: arXiv:2511.12601, section 4: 10 INRs, 512 copies of each in a ring, 40 points.
    """

    name: str = Field(description="Name of the recipe.")
    zoo: Annotated[InrZooConfig | SeedZooConfig, Field(discriminator="kind")] = Field(
        description="How to make the zoo if none is given; one that is given is of this kind."
    )
    split: Literal["train", "val", "test"] | None = Field(
        default="test", description="Split that networks are drawn from; none: all that did not diverge."
    )
    networks: int = Field(default=10, ge=1, le=1_000_000, description="Networks drawn.")
    copies: int = Field(default=512, ge=2, le=100_000, description="Copies of each, and so pairs.")
    points: int = Field(default=40, ge=2, le=10_000, description="Places on each segment, ends included.")
    panels: tuple[OrbitPanel, ...] = Field(min_length=1, description="Panels of the figure.")
    methods: tuple[OrbitMethod, ...] = Field(
        default=("naive", "linear assignment", "ours"), min_length=1, description="What is compared."
    )
    scale_std: float = Field(default=SCALE_STD, ge=0, description="Of the logarithm of positive scales.")
    images: int = Field(default=1000, ge=1, description="Test images that classifiers are measured on.")
    seed: int = Field(default=0, ge=0, description="Of the networks drawn, their copies and the noise.")

    @field_validator("panels")
    @classmethod
    def _different_names(cls, panels: tuple[OrbitPanel, ...]) -> tuple[OrbitPanel, ...]:
        names = [panel.name for panel in panels]
        if len(set(names)) < len(names):
            raise ValueError(f"panels need different names, got {', '.join(names)}")
        return panels
