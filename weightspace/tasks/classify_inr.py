"""What is in the image that a network is: the class of an INR, read off its weights."""

from typing import ClassVar, Literal, final

import torch
from jaxtyping import Int
from torch import Tensor

from .._errors import ConfigError
from ._dataset import Dataset, Networks
from ._reading import CLASS_SCORES, AbstractReading, Score


@final
class ClassifyInr(AbstractReading):
    """The label of the image that each network of an INR zoo was fitted to.

    Source: arXiv:2406.10685, section 6.1.
    """

    kind: Literal["classify_inr"] = "classify_inr"

    out: ClassVar[int] = 10
    scores: ClassVar[tuple[Score, ...]] = CLASS_SCORES

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
