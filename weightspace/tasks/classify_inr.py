"""What is in the image that a network is: the class of an INR, read off its weights."""

from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .._errors import ConfigError
from ._dataset import Dataset, Networks
from ._reading import AbstractReading, Score


@final
class ClassifyInr(AbstractReading):
    """The label of the image that each network of an INR zoo was fitted to.

    Source: arXiv:2406.10685, section 6.1.
    """

    kind: Literal["classify_inr"] = "classify_inr"

    out: ClassVar[int] = 10
    scores: ClassVar[tuple[Score, ...]] = (
        Score("accuracy", "accuracy (%)", "networks whose image is put into its class", 100.0, 1, higher=True),
        Score("cross_entropy", "cross-entropy (nats)", "mean negative log-probability of the class"),
    )

    def goals(self, dataset: Dataset, networks: Networks) -> Int[Tensor, " b"]:
        """The labels.

        Raises:
            ConfigError: if the networks are no images with labels.
        """
        if "label" not in networks.rows:
            raise ConfigError(
                f"the networks of this zoo ({dataset.target.kind}) have no label: they are no images. Give a zoo of "
                "INRs, e.g. weightspace zoo make inr_digits --out DIR"
            )
        return torch.as_tensor(networks.rows["label"]).long()

    def judged(self, answers: Float[Tensor, "b o"], goals: Int[Tensor, " b"]) -> dict[str, Tensor]:
        """Whether the class is right, and the cross-entropy."""
        return {"accuracy": (answers.argmax(1) == goals).double(), "cross_entropy": self.losses(answers, goals)}
