"""Batches of inputs that networks are run on."""

from collections.abc import Sequence

from torch import Tensor

from .._errors import ConfigError

Batch = Tensor | tuple[Tensor, ...]
"""Inputs: a tensor, or a tuple for a network with several arguments. Labels are no part of them."""

Inputs = Sequence[Batch]
"""Batches of inputs."""


def check_batches(batches: object) -> None:
    """Nothing, if there are batches that can be read several times.

    Raises:
        ConfigError: if it is an iterator, or empty.
    """
    if not isinstance(batches, Sequence):
        raise ConfigError("the batches are read several times: give a list of tensors, e.g. list(images.split(500)).")
    if not batches:
        raise ConfigError("there is no batch to measure statistics on. Give at least one tensor of inputs in a list.")
