"""What each network counts in a mean."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from .._errors import ConfigError


def shares(weights: Sequence[float] | None, num: int) -> Float[Tensor, " k"]:
    """The weights divided by their sum (float64); all the same if there are none.

    Raises:
        ConfigError: if they are not ``num`` finite numbers of at least 0, some above.
    """
    given = torch.as_tensor([1.0] * num if weights is None else list(weights), dtype=torch.float64)
    if len(given) != num:
        raise ConfigError(f"{len(given)} weights are given for {num} networks. Give one for each.")
    if not bool((given >= 0).all() and given.isfinite().all()):
        raise ConfigError(f"the weights are {given.tolist()}; give finite numbers of at least 0.")
    if num and not float(given.sum()) > 0:
        raise ConfigError("all weights are 0, so nothing would be merged. Give at least one above 0.")
    return given / given.sum()
