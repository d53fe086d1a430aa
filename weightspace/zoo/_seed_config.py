"""Configuration of a zoo of classifiers that differ by their seeds alone."""

from typing import Annotated, Any, Literal, final

from pydantic import Field

from .._frozen import MOST_RUNS, Frozen
from ._images import ImageSet
from .targets import CNNTarget, MLPTarget, ResNetTarget

SeedTarget = Annotated[MLPTarget | CNNTarget | ResNetTarget, Field(discriminator="kind")]


@final
class SeedZooConfig(Frozen):
    """A zoo for pairs: every run has the same settings; initialization and order of images are its own.

    Images keep their size, are gray, in [-1, 1]. Everything but ``num`` is fixed once the zoo exists; a larger
    ``num`` extends it.
    """

    kind: Literal["seeds"] = "seeds"
    images: ImageSet = Field(default="mnist", description="Image set the networks classify.")
    target: SeedTarget = Field(default=MLPTarget(widths=(784, 512, 512, 512, 10)), description="Architecture.")
    num: int = Field(default=40, ge=1, le=MOST_RUNS, description="Training runs.")
    optimizer: Literal["adam", "sgd"] = Field(default="adam", description="sgd has a Nesterov momentum of 0.9.")
    learning_rate: float = Field(
        default=1e-3, gt=0, description="Largest one, after a tenth of the steps; then a cosine down to zero."
    )
    l2: float = Field(default=0.0, ge=0, description="Weight decay c (loss + c/2 |w|^2), of matrices and kernels.")
    batch_size: int = Field(default=128, ge=1, description="Images per step.")
    epochs: int = Field(default=4, ge=1, description="Epochs, all images in each.")
    seed: int = Field(default=0, ge=0, description="Seed of everything random in the zoo.")
    shard: int = Field(default=2, ge=1, description="Runs per shard: the unit that is written and resumed.")

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Epochs after which a run is kept."""
        return (self.epochs,)

    def identity(self) -> dict[str, Any]:
        """What may not change once the zoo exists, as plain data."""
        return self.model_dump(mode="json", exclude={"num"})
