"""The SIREN: a small network that is an image, read at pixel coordinates."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, Self, final

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor, nn

from ..._types import Params
from ._target import AbstractTarget
from .activations import ActivationName


@final
class Siren(nn.Module):
    """Implicit neural representation: pixel coordinates in [-1, 1] to intensities, sine activations.

    ``omega`` (radians per unit of pre-activation) multiplies every hidden pre-activation, ``offset`` is added to
    the output. Source: Sitzmann et al. 2020, arXiv:2006.09661, section 3.2 (initialization included).
    """

    def __init__(self, widths: Sequence[int] = (2, 32, 32, 1), omega: float = 30.0, offset: float = 0.5) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.omega = omega
        self.offset = offset
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(self.widths, self.widths[1:], strict=False))
        for size, layer in zip(self.widths, self.layers, strict=False):
            bound = 1 / size if layer is self.layers[0] else math.sqrt(6 / size) / omega
            nn.init.uniform_(layer.get_parameter("weight"), -bound, bound)

    def forward(self, x: Float[Tensor, "p i"]) -> Float[Tensor, "p o"]:
        *hidden, last = self.layers
        for layer in hidden:
            x = torch.sin(self.omega * layer(x))
        return last(x) + self.offset


@final
class SirenTarget(AbstractTarget):
    """Configuration of a :class:`Siren` with two hidden layers, and how it is initialized."""

    kind: Literal["siren"] = "siren"
    widths: tuple[int, int, int, int] = Field(default=(2, 32, 32, 1), description="Coordinates, neurons, intensities.")
    omega: float = Field(default=30.0, gt=0, description="Radians per unit of hidden pre-activation.")
    offset: float = Field(default=0.5, description="Added to the output.")
    init: Literal["even", "sitzmann"] = Field(
        default="even",
        description="Bound of the first layer: that of the other hidden layers (even, the smoother image), or 1/2.",
    )

    @field_validator("widths")
    @classmethod
    def _of_an_image(cls, widths: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        if widths[0] != 2 or widths[-1] not in (1, 3) or min(widths) < 1:
            raise ValueError(
                f"widths of an image are 2, N, M, 1 (gray) or 2, N, M, 3 (colour) with N and M at least 1, got {widths}"
            )
        return widths

    @property
    def colour(self) -> bool:
        """Whether the networks are images in colour."""
        return self.widths[-1] == 3

    def build(self) -> Siren:
        """The module this configuration describes."""
        return Siren(self.widths, self.omega, self.offset)

    def example(self) -> Tensor:
        """One input."""
        return torch.zeros(1, 2)

    def forward(self, params: Params, x: Float[Tensor, "*b p 2"]) -> Float[Tensor, "b p o"]:
        """See :func:`stacked_siren`; ``x`` are coordinates."""
        return stacked_siren(params, x, self.omega, self.offset)

    def pictures(self, params: Params, side: int) -> Float[Tensor, "b c h h"]:
        """The images that stacked networks are, intensities as they come, of ``side`` by ``side`` pixels."""
        shown = stacked_siren(params, pixel_grid(side).to(params["layers.0.weight"]), self.omega, self.offset)
        return shown.mT.unflatten(2, (side, side))

    @classmethod
    def of_shapes(cls, shapes: Mapping[str, tuple[int, ...]], activation: ActivationName) -> Self | None:
        """None: shapes show neither omega nor offset, so a file alone does not say which SIREN it is."""
        del shapes, activation
        return None

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers that go in and out."""
        return self.widths[0], self.widths[-1]

    @property
    def nonlinearity(self) -> str:
        """What happens to a hidden pre-activation; part of the architecture's name."""
        return f"sin {self.omega:g} {self.offset:g}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter, in ``state_dict`` order."""
        out: dict[str, tuple[int, ...]] = {}
        for index, (a, b) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            out[f"layers.{index}.weight"] = (b, a)
            out[f"layers.{index}.bias"] = (b,)
        return out

    def initial_weights(self, seed: np.random.SeedSequence) -> Float[np.ndarray, " w"]:
        """Initial parameters, one after the other; weights are uniform, with a bound for each layer.

        Hidden layers of fan-in n: sqrt(6/n)/omega, arXiv:2006.09661, and no biases, as the INRs of arXiv:2301.12780;
        the output layer: 1/sqrt(n) for weights and bias, torch's default.
        """
        rng = np.random.Generator(np.random.PCG64(seed))
        draws = []
        for index, (fan_in, size) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            bound = 1 / math.sqrt(fan_in) if index == 2 else math.sqrt(6 / fan_in) / self.omega
            if index == 0 and self.init == "sitzmann":
                bound = 1 / fan_in
            draws.append(rng.uniform(-bound, bound, fan_in * size))
            draws.append(rng.uniform(-bound, bound, size) if index == 2 else np.zeros(size))
        return np.concatenate(draws)


def pixel_grid(side: int) -> Float[Tensor, "p 2"]:
    """Coordinates of the pixels of a square image, row by row: (column, row), both from -1 to 1, ends included."""
    line = torch.linspace(-1, 1, side)
    return torch.stack([line.repeat(side), line.repeat_interleave(side)], dim=1)


def stacked_siren(
    params: Params, x: Float[Tensor, "*b p 2"], omega: float = 30.0, offset: float = 0.5
) -> Float[Tensor, "b p o"]:
    """Intensities of ``b`` stacked SIRENs at the coordinates ``x``, shared or one set a network; differentiable.

    Args:
        params: Stacked parameters of a :class:`Siren` of any depth.
        x: Coordinates, e.g. :func:`pixel_grid`.
        omega: Radians per unit of hidden pre-activation.
        offset: Added to the output.
    """
    h = x if x.dim() == 3 else x.expand(len(params["layers.0.weight"]), *x.shape)
    last = sum(name.endswith(".weight") for name in params) - 1
    for index in range(last + 1):
        weight, bias = params[f"layers.{index}.weight"], params[f"layers.{index}.bias"].unsqueeze(1)
        scale = 1.0 if index == last else omega
        h = torch.baddbmm(bias, h, weight.transpose(1, 2), alpha=scale, beta=scale)
        h = h + offset if index == last else h.sin()
    return h
