"""What a module is run on: networks in one number type, inputs unlike its example, images in its input's shape."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..._errors import ConfigError
from ..._types import Params
from ...alignment import classification
from ...files.checkpoint import Checkpoint
from ...files.writer import Progress
from ...gauge import random_like
from ...spec import Example, Inputs
from ...zoo import NATIVE, SIDE, Images, load_images

_STATISTICS = 2000
"""Training images that statistics are measured on, in batches of ``_BATCH``."""

_BATCH = 500


@final
@dataclass(frozen=True, eq=False)
class Bench:
    """A module ready to run, on the CPU, in the number type of the networks.

    Attributes:
        module: In eval mode.
        inputs: Random ones.
    """

    module: nn.Module
    inputs: Inputs

    @property
    def example(self) -> Example:
        """The random inputs, as :func:`weightspace.same_function` takes them."""
        return self.inputs.example

    def shaped(self, images: Float[Tensor, "p i"]) -> Tensor:
        """Images, as :func:`images_for` loads them, in the shape and type of the module's input."""
        like = self.inputs.tensors[0]
        return images.to(like.dtype).reshape(-1, *like.shape[1:])

    def measure(
        self, images: Float[Tensor, "p i"], labels: Int[Tensor, " p"]
    ) -> Callable[[Params], tuple[float, float]]:
        """What measures loss (nats) and accuracy of parameters on images.

        Raises:
            ConfigError: if the number of classes does not fit the module.
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
        """Training images, for statistics and features."""
        return list(self.shaped(images.train_x[:_STATISTICS]).split(_BATCH))


def images_for(name: str, example: Example, data: Path | None, progress: Progress | None = None) -> Images:
    """The image set of that name in the size that the example input has: 8x8, its own size, or in colour.

    An input may be flattened; in colour, it is red, green and blue in turn.

    Args:
        name: See :func:`weightspace.zoo.load_images`.
        example: Inputs of the architecture.
        data: Folder of image sets.
        progress: Called with images read, images in all, and a message.

    Raises:
        ConfigError: if the images cannot be read, or do not come in the shape of the input.
    """
    inputs = Inputs.of(example).tensors
    whole = next((value for value in inputs if not value.is_floating_point()), None)
    if whole is not None:
        raise ConfigError(
            f"images of {name!r} are pixels, and the module takes whole numbers ({whole.dtype}, {list(whole.shape)}), "
            "such as tokens. Match weights, without images: weightspace merge A B, or weightspace align A B. Features "
            "of tokens, and barriers, are for Python: ws.alignment.merge(..., inputs=batches), ws.alignment.barrier"
        )
    words = {}
    if name in NATIVE:
        forms = _forms(*NATIVE[name])
        words = forms.get(tuple(inputs[0].shape[1:])) if len(inputs) == 1 else None
        if words is None:
            takes = " and ".join(str(list(value.shape)) for value in inputs)
            sizes = ", ".join(f"{other} ({side}x{side})" for other, (side, _) in NATIVE.items())
            raise ConfigError(
                f"images of {name!r} come in the shapes {', '.join(str(list(shape)) for shape in forms)}; the module's "
                f"input, with the number of inputs before it, is {takes}. Name the set that the networks were trained "
                f"on, one of {sizes}, with --images, or the shape of the input with --input"
            )
    return load_images(name, data, progress=progress, **words)


def _forms(side: int, in_colour: bool) -> dict[tuple[int, ...], dict[str, bool]]:
    """By shape of an input, how to load images of a set with its own size and colours."""
    forms: dict[tuple[int, ...], dict[str, bool]] = {}
    for size, words in ((SIDE, {}), (side, {"full_size": True})):
        for shape in ((size**2,), (1, size, size), (size, size)):
            forms.setdefault(shape, words)
    if in_colour:
        forms |= {(3 * side**2,): {"colour": True}, (3, side, side): {"colour": True}}
    return forms


def bench(module: nn.Module, example: Example, dtype: torch.dtype) -> Bench:
    """A copy of the module in a number type, with random inputs of the example's shapes."""
    net = copy.deepcopy(module).to("cpu", dtype).eval()
    return Bench(net, random_like(net, Inputs.of(example), dtype))


def widest(networks: Iterable[Checkpoint]) -> torch.dtype:
    """The type to compute in: a module has one, and half precision does not run on every CPU."""
    types = {dtype for network in networks for dtype in network.dtypes.values()}
    return torch.float64 if torch.float64 in types else torch.float32


def in_type(params: Params, dtype: torch.dtype) -> Params:
    """The floating-point parameters in one type, the others as they are."""
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in params.items()}
