"""Configuration of a zoo of CNNs with hyper-parameters of their own."""

from typing import Any, Literal, final

from pydantic import Field, model_validator

from .._frozen import MOST_RUNS, Frozen
from ._hyper import HyperSpace
from ._images import ImageSet
from .targets import CNNTarget


@final
class CNNZooConfig(Frozen):
    """A zoo for predicting accuracies: ``num`` runs of one small CNN, kept from initialization on.

    Architecture and ranges are those of the Small CNN Zoo, arXiv:2002.11448, which trains for 86 epochs and keeps
    0, 1, 2, 3, 20, 40, 60, 80 and 86. Dropout acts after the second and the third convolution. Images keep their
    size, are gray, in [-1, 1]. Everything but ``num`` is fixed once the zoo exists; a larger ``num`` extends it.
    """

    kind: Literal["cnns"] = "cnns"
    images: ImageSet = Field(default="cifar10", description="Image set the networks classify.")
    target: CNNTarget = Field(default=CNNTarget(), description="Architecture of the networks, with tanh or ReLU.")
    num: int = Field(default=400, ge=1, le=MOST_RUNS, description="Training runs.")
    checkpoints: tuple[int, ...] = Field(
        default=(0, 1, 2, 3, 4, 6, 8, 10, 12), description="Epochs after which a run is kept; 0 is its start."
    )
    batch_size: int = Field(default=128, ge=1, description="Images per step.")
    hyper: HyperSpace = Field(default=HyperSpace(), description="Ranges of the hyper-parameters.")
    seed: int = Field(default=0, ge=0, description="Seed of everything random in the zoo.")
    shard: int = Field(default=40, ge=1, description="Runs per shard: the unit that is written, resumed and read.")

    @model_validator(mode="after")
    def _can_be_trained(self) -> "CNNZooConfig":
        kept = self.checkpoints
        if not kept or kept[0] < 0 or kept[-1] < 1 or sorted(set(kept)) != list(kept):
            raise ValueError(f"checkpoints must be increasing epochs, the last at least 1, got {kept}")
        if self.target.activation not in ("tanh", "relu"):
            raise ValueError(f"a zoo of CNNs is trained with tanh or relu, got {self.target.activation!r}")
        return self

    def identity(self) -> dict[str, Any]:
        """What may not change once the zoo exists, as plain data."""
        return self.model_dump(mode="json", exclude={"num"})
