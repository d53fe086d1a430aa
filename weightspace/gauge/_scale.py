"""Scale groups: the rescalings of a neuron that its activation lets pass.

If ``act(s * z) == s * act(z)`` for every ``s`` in a group, multiplying a neuron's fan-in by ``s`` and dividing
its fan-out by ``s`` leaves the network function unchanged.

Source: Godfrey et al. 2022, arXiv:2205.14258 (intertwiner groups); Kalogeropoulos et al. 2024,
arXiv:2406.10685, Prop. 4.1 (the groups of ReLU, tanh and sine).
"""

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from ..spec import ScaleName


class AbstractScaleGroup(ABC):
    """Subgroup of the nonzero reals; acts on each of ``n`` neurons separately."""

    @abstractmethod
    def sample(self, shape: tuple[int, ...], generator: Generator, max_scale: float) -> Float[Tensor, "*b n"]:
        """Random members (float64), magnitudes in [1/max_scale, max_scale]."""

    @abstractmethod
    def contains(self, s: Float[Tensor, "*b n"]) -> Bool[Tensor, "*b n"]:
        """Which entries are members."""


@final
class Trivial(AbstractScaleGroup):
    """{1}: activations that let no rescaling pass (GELU, sigmoid)."""

    def sample(
        self,
        shape: tuple[int, ...],
        generator: Generator,  # noqa: ARG002
        max_scale: float,  # noqa: ARG002
    ) -> Float[Tensor, "*b n"]:
        return torch.ones(shape, dtype=torch.float64)

    def contains(self, s: Float[Tensor, "*b n"]) -> Bool[Tensor, "*b n"]:
        return s == 1


@final
class Sign(AbstractScaleGroup):
    """{-1, 1}: odd activations (tanh, sine)."""

    def sample(
        self,
        shape: tuple[int, ...],
        generator: Generator,
        max_scale: float,  # noqa: ARG002
    ) -> Float[Tensor, "*b n"]:
        return 2.0 * torch.randint(2, shape, generator=generator).double() - 1.0

    def contains(self, s: Float[Tensor, "*b n"]) -> Bool[Tensor, "*b n"]:
        return s.abs() == 1


@final
class Positive(AbstractScaleGroup):
    """(0, inf): positively homogeneous activations (ReLU, leaky ReLU, abs)."""

    def sample(self, shape: tuple[int, ...], generator: Generator, max_scale: float) -> Float[Tensor, "*b n"]:
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
        return torch.exp((2 * uniform - 1) * math.log(max_scale))  # log-uniform: s and 1/s alike

    def contains(self, s: Float[Tensor, "*b n"]) -> Bool[Tensor, "*b n"]:
        return (s > 0) & s.isfinite()


@final
class Nonzero(AbstractScaleGroup):
    """All nonzero reals: the identity activation."""

    def sample(self, shape: tuple[int, ...], generator: Generator, max_scale: float) -> Float[Tensor, "*b n"]:
        return Sign().sample(shape, generator, max_scale) * Positive().sample(shape, generator, max_scale)

    def contains(self, s: Float[Tensor, "*b n"]) -> Bool[Tensor, "*b n"]:
        return (s != 0) & s.isfinite()


SCALE_GROUPS: dict[ScaleName, AbstractScaleGroup] = {
    "trivial": Trivial(),
    "sign": Sign(),
    "positive": Positive(),
    "nonzero": Nonzero(),
}
"""The groups behind the names that a spec uses."""
