"""What a module is run on: networks in one number type, and inputs unlike its example."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from .._types import Params
from .checkpoint import Checkpoint
from .outputs import probes

Example = Tensor | tuple[Tensor, ...]


@final
@dataclass(frozen=True, eq=False)
class Bench:
    """A module ready to run, on the CPU, in the number type of the networks.

    Attributes:
        module: In eval mode.
        example: Random inputs.
    """

    module: nn.Module
    example: tuple[Tensor, ...]


def bench(module: nn.Module, example: Example, dtype: torch.dtype) -> Bench:
    """A copy of the module in a number type, with random inputs of the example's shapes."""
    net = copy.deepcopy(module).to("cpu", dtype).eval()
    return Bench(net, probes(net, example if isinstance(example, tuple) else (example,), dtype))


def widest(networks: Iterable[Checkpoint]) -> torch.dtype:
    """The type to compute in: a module has one, and half precision does not run on every CPU."""
    types = {dtype for network in networks for dtype in network.dtypes.values()}
    return torch.float64 if torch.float64 in types else torch.float32


def in_type(params: Params, dtype: torch.dtype) -> Params:
    """The floating-point parameters in one type, the others as they are."""
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in params.items()}
