"""What a module is run on: networks in one number type, inputs unlike its example, images in its input's shape."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .._errors import ConfigError
from .._types import Params
from ..align import classification
from ..zoo import Images
from .checkpoint import Checkpoint
from .outputs import probes

Example = Tensor | tuple[Tensor, ...]

_STATISTICS = 2000
"""Training images that statistics are measured on, in batches of ``_BATCH``."""

_BATCH = 500


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

    def shaped(self, images: Float[Tensor, "p i"]) -> Tensor:
        """Images in the shape of the module's input.

        Raises:
            ConfigError: if they have another size.
        """
        want = self.example[0].shape[1:]
        if len(self.example) != 1 or want.numel() != images.shape[1]:
            takes = " and ".join(str(list(value.shape)) for value in self.example)
            raise ConfigError(
                f"the images have {images.shape[1]} numbers each (8x8, gray), the module's input has the shape "
                f"{takes}. Measure networks that read such images, e.g. --input 2,64 or --input 2,1,8,8"
            )
        return images.to(self.example[0].dtype).reshape(-1, *want)

    def measure(
        self, images: Float[Tensor, "p i"], labels: Int[Tensor, " p"]
    ) -> Callable[[Params], tuple[float, float]]:
        """What measures loss (nats) and accuracy of parameters on images.

        Raises:
            ConfigError: if the images, or the number of classes, do not fit the module.
        """
        inputs = self.shaped(images)
        with torch.no_grad():
            outputs = self.module(inputs[:2])
        classes = int(labels.max()) + 1
        if not isinstance(outputs, Tensor) or outputs.ndim != 2 or outputs.shape[1] < classes:
            have = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise ConfigError(f"the images have {classes} classes, the module's output for two of them is {have}.")
        evaluate = classification(self.module, inputs, labels)

        def both(params: Params) -> tuple[float, float]:
            found = evaluate(params)
            assert isinstance(found, tuple), "a classifier has an accuracy"
            return found

        return both

    def batches(self, images: Images) -> list[Tensor]:
        """Training images for statistics.

        Raises:
            ConfigError: if they do not fit the module.
        """
        return list(self.shaped(images.train_x[:_STATISTICS]).split(_BATCH))


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
