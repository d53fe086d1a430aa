"""Small float64 networks around one operation, and the law every derived spec must obey."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from weightspace.gauge import act, same_function, sample
from weightspace.spec import SymmetrySpec

Middle = Callable[[nn.Module, Tensor], Tensor]


class Dense(nn.Module):
    """Linear, the operation under test, Linear; with buffers and parameters for it to use."""

    def __init__(self, middle: Middle, width: int = 6, read: int | None = None) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.second = nn.Linear(width if read is None else read, 2)
        self.register_buffer("omega", torch.tensor(1.7))
        self.register_buffer("gain", torch.tensor([0.6]))
        self.learned = nn.Parameter(torch.tensor(-1.3))
        self.register_buffer("mask", torch.rand(width) + 0.5)
        self.middle = middle
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.middle(self, self.first(x)))

    def example(self) -> Tensor:
        return noise(5, 3)


class Image(nn.Module):
    """Conv2d with four channels on 6x6 images, the operation under test, and a Linear or Conv2d that reads it."""

    def __init__(self, middle: Middle, *, channels: int = 4, batch: int = 3, **conv: object) -> None:
        super().__init__()
        self.batch = batch
        self.first = nn.Conv2d(2, channels, 3, **({"padding": 1} | conv))
        self.middle = middle
        self.double()
        hidden = middle(self, self.first(self.example()))
        self.second = nn.Conv2d(hidden.shape[1], 2, 1) if hidden.ndim == 4 else nn.Linear(hidden.shape[-1], 2)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.middle(self, self.first(x)))

    def example(self) -> Tensor:
        return noise(self.batch, 2, 6, 6)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def change(net: nn.Module, spec: SymmetrySpec, example: Tensor | tuple[Tensor, ...], num: int = 2) -> float:
    """Largest relative change of the network's outputs under random elements of the spec's gauge."""
    params = {name: value.detach().clone() for name, value in net.state_dict().items()}
    net.eval()
    return max(same_function(net, act(sample(spec, seed), params, spec), example) for seed in range(num))


def assert_preserved(net: nn.Module, spec: SymmetrySpec, example: Tensor | tuple[Tensor, ...]) -> None:
    assert change(net, spec, example) <= 1e-12


def spaces(spec: SymmetrySpec) -> str:
    """The spaces of a spec in one line."""
    return " | ".join(map(str, spec.spaces))
