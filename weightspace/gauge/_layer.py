"""One linear layer as the matrix that it stands for: which entry carries which of its weights."""

import math
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, final

from .._errors import ConfigError


class Entry(NamedTuple):
    """An entry of the matrix: its row (output), its column (input) and the number of the weight that stands there."""

    row: int
    column: int
    weight: int


@final
@dataclass(frozen=True)
class LayerShape:
    """A convolution with any number of spatial axes; with none it is a fully connected layer.

    Attributes:
        inputs: Channels read.
        outputs: Channels written.
        size: Of the input, by spatial axis; so are the next four.
        kernel: Weights along the axis.
        stride: Step between two outputs.
        padding: Zeros at either end.
        dilation: Step between two weights.
        bias: One number per output channel, added at every position.

    Raises:
        ConfigError: if the axes do not agree in number, a number is too small or the kernel is larger than the
            padded input.
    """

    inputs: int
    outputs: int
    size: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    bias: bool = False

    def __post_init__(self) -> None:
        lists = (self.size, self.kernel, self.stride, self.padding, self.dilation)
        if len({len(values) for values in lists}) > 1:
            raise ConfigError(
                f"size, kernel, stride, padding and dilation have {', '.join(str(len(v)) for v in lists)} axes. "
                "Give each one number per spatial axis."
            )
        if min((self.inputs, self.outputs, *self.size, *self.kernel, *self.stride, *self.dilation)) < 1:
            raise ConfigError(f"every size, stride and dilation is at least 1, got {self}.")
        if min(self.padding, default=0) < 0 or min(self.output_size, default=1) < 1:
            raise ConfigError(f"the kernel reaches beyond the padded input in {self}. Give a larger input.")

    @property
    def output_size(self) -> tuple[int, ...]:
        """Positions written, by spatial axis."""
        axes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)

    @property
    def rows(self) -> int:
        """Outputs, over all channels and positions."""
        return self.outputs * math.prod(self.output_size)

    @property
    def columns(self) -> int:
        """Inputs, over all channels and positions."""
        return self.inputs * math.prod(self.size)

    @property
    def weights(self) -> int:
        """Numbers in the kernel."""
        return self.outputs * self.inputs * math.prod(self.kernel)

    def entries(self) -> list[Entry]:
        """The entries that carry a weight; where the kernel reads padding there is none."""
        axes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, self.output_size, strict=True)
        reads = [
            [(y, i, y * s + i * d - p) for y in range(m) for i in range(k) if 0 <= y * s + i * d - p < n]
            for n, k, s, p, d, m in axes
        ]
        found = []
        for o, c in product(range(self.outputs), range(self.inputs)):
            for places in product(*reads):
                row, weight, column = o, o * self.inputs + c, c
                for (y, i, x), m, k, n in zip(places, self.output_size, self.kernel, self.size, strict=True):
                    row, weight, column = row * m + y, weight * k + i, column * n + x
                found.append(Entry(row, column, weight))
        return found
