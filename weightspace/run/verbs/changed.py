"""Networks read to be changed many at once, and written back as they were kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch

from ..._errors import SpecMismatch
from ..._types import Params
from ...files import atomic
from ...files.checkpoint import ACTIVATION, Checkpoint, open_network
from ...files.writer import write_like
from ...spec import SymmetrySpec
from ...zoo import AbstractTarget


@final
@dataclass(frozen=True, eq=False)
class Network:
    """One network: where it was read, its parameters as stored, and its file, unless it lies in a zoo."""

    path: Path
    params: Params
    source: Checkpoint | None = None

    @property
    def activation(self) -> str | None:
        """What the file says that its hidden activation is."""
        return None if self.source is None else self.source.metadata.get(ACTIVATION)


def read_network(path: Path, spec: SymmetrySpec, activation: str, target: AbstractTarget) -> Network:
    """One network of the given architecture and activation; a file that does not name its own is assumed to have it.

    Raises:
        ConfigError: if the file cannot be read.
        SpecMismatch: if the network is of another architecture (naming the first difference) or activation, or
            holds values that are not finite, or whole numbers.
    """
    source = open_network(path, spec)
    stated = source.metadata.get(ACTIVATION, activation)
    if stated != activation:
        raise SpecMismatch(
            f"{path} says that its activation is {stated!r}, but {activation!r} is needed here. Leave this network "
            "out, or choose an operator or --activation for it."
        )
    for name in target.trained():
        dtype = source.dtypes[name]
        if not dtype.is_floating_point:
            word = str(dtype).removeprefix("torch.")
            raise SpecMismatch(f"{path}: parameter {name!r} is {word}, not of a float type. Leave this network out.")
    return Network(path, source.load(), source)


def stack(networks: Sequence[Network]) -> Params:
    """Stacked parameters: float32, and counts as they are."""

    def cast(value: torch.Tensor) -> torch.Tensor:
        return value.float() if value.is_floating_point() else value

    names = networks[0].params
    return {name: torch.stack([cast(network.params[name]) for network in networks]) for name in names}


def write_changed(network: Network, old: Params, new: Params, index: int, path: Path, activation: str) -> None:
    """Write a network changed by ``new - old``, with its own names, dtypes and metadata, and its activation.

    The change is added in float64 to the numbers as stored, so that a float64 network keeps its precision.

    Raises:
        ConfigError: if the place cannot be written.
        SpecMismatch: if a number does not fit its number type.
    """

    def changed(name: str) -> torch.Tensor:
        if not network.params[name].is_floating_point():
            return network.params[name]
        return network.params[name].double() + (new[name][index].double() - old[name][index].double())

    stated = {ACTIVATION: activation}
    if network.source is None:
        values = {name: changed(name).to(value.dtype) for name, value in network.params.items()}
        atomic.save_tensors(path, values, stated)
    else:
        write_like(network.source, path, lambda name: [changed(name)], metadata=stated)
