"""Configuration of a zoo: what is trained, on which images, how often it is kept."""

from typing import Any, final

from pydantic import Field, model_validator

from .._frozen import MOST_RUNS, Frozen
from ._hyper import HyperSpace
from ._images import ImageSet
from .targets import MLPTarget


@final
class ZooConfig(Frozen):
    """A zoo of classifiers: ``num`` runs of one architecture, each with hyper-parameters of its own.

    The defaults are the MLP zoo of arXiv:2510.08300, appendix C.2 (there with 3,200 runs). Everything but ``num``
    is fixed once the zoo exists; a larger ``num`` extends it.
    """

    images: ImageSet = Field(default="cifar10", description="Image set the networks classify.")
    target: MLPTarget = Field(default=MLPTarget(), description="Architecture of the networks.")
    num: int = Field(default=1000, ge=1, le=MOST_RUNS, description="Training runs.")
    checkpoints: tuple[int, ...] = Field(default=(5, 10, 15), description="Epochs after which a run is kept.")
    batch_size: int = Field(default=64, ge=1, description="Images per step.")
    hyper: HyperSpace = Field(default=HyperSpace(), description="Ranges of the hyper-parameters.")
    seed: int = Field(default=0, ge=0, description="Seed of everything random in the zoo.")
    shard: int = Field(default=100, ge=1, description="Runs per shard: the unit that is written, resumed and read.")

    @model_validator(mode="after")
    def _increasing(self) -> "ZooConfig":
        if not self.checkpoints or self.checkpoints[0] < 1 or sorted(set(self.checkpoints)) != list(self.checkpoints):
            raise ValueError(f"checkpoints must be increasing epochs from 1 on, got {self.checkpoints}")
        return self

    def identity(self) -> dict[str, Any]:
        """What may not change once the zoo exists, as plain data."""
        return self.model_dump(mode="json", exclude={"num"})
