"""Configuration of a zoo of implicit neural representations."""

from typing import Any, Literal, final

from pydantic import Field

from .._frozen import MOST_RUNS, Frozen
from ._images import ImageSet
from .targets import SirenTarget


@final
class InrZooConfig(Frozen):
    """A zoo of INRs: each network is one image, and has an initialization of its own.

    The defaults bring MNIST digits to about 25 dB, where weights and errors are close to those of the published set
    (arXiv:2301.12780; a rate several times larger gets there sooner, with other weights). Everything but ``num`` is
    fixed once the zoo exists; a larger ``num`` extends it.
    """

    kind: Literal["inr"] = "inr"
    images: ImageSet = Field(default="mnist", description="Image set the networks are fitted to.")
    target: SirenTarget = Field(default=SirenTarget(), description="Architecture and initialization.")
    num: int = Field(default=1000, ge=1, le=MOST_RUNS, description="Images, one network each.")
    steps: int = Field(default=3000, ge=1, description="Steps of Adam, each on a quarter of the pixels.")
    # A step of Adam is at most a few learning rates: below this bound no fit can diverge.
    learning_rate: float = Field(default=4e-4, gt=0, le=0.1, description="Of Adam.")
    seed: int = Field(default=0, ge=0, description="Seed of everything random in the zoo.")
    shard: int = Field(default=100, ge=1, description="Networks per shard: the unit that is written and resumed.")

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Steps after which a network is kept."""
        return (self.steps,)

    def identity(self) -> dict[str, Any]:
        """What may not change once the zoo exists, as plain data."""
        return self.model_dump(mode="json", exclude={"num"})
