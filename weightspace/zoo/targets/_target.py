"""What every target has: the small networks that are data."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from ..._frozen import Frozen
from ..._types import Params
from .activations import ActivationName


class AbstractTarget(Frozen, ABC):
    """Configuration of one architecture: how to build it, and how to run a stack of networks of it."""

    kind: Any

    bare: ClassVar[bool] = True
    """Whether it can be built without storage, and without a random number drawn."""

    @abstractmethod
    def build(self) -> nn.Module:
        """A module of this architecture, with weights of torch's own."""

    @abstractmethod
    def example(self) -> Tensor:
        """One input, with a leading axis of 1."""

    @property
    @abstractmethod
    def nonlinearity(self) -> str:
        """What happens to a hidden pre-activation; part of the architecture's name."""

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, int]:
        """Numbers that go in and out."""

    @classmethod
    @abstractmethod
    def of_shapes(cls, shapes: Mapping[str, tuple[int, ...]], activation: ActivationName) -> Self | None:
        """The target whose parameters have these shapes, if they say enough and there is one."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each entry of the ``state_dict``, in its order."""
        return {name: tuple(value.shape) for name, value in _module(self).state_dict().items()}

    def trained(self) -> tuple[str, ...]:
        """Names of the entries that training changes by gradients: all but running statistics and counts."""
        return tuple(name for name, _ in _module(self).named_parameters())

    def forward(self, params: Params, x: Float[Tensor, "*b p i"]) -> Float[Tensor, "b p o"]:
        """Outputs of ``b`` stacked networks in eval mode; differentiable.

        Args:
            params: Stacked entries of the ``state_dict``.
            x: Flattened inputs, shared (``[p, i]``) or one set a network (``[b, p, i]``).
        """
        shaped = x.unflatten(-1, self.example().shape[1:])
        return stacked_forward(_module(self), params, shaped, own_inputs=x.dim() == 3)


def stacked_forward(module: nn.Module, params: Params, x: Tensor, *, own_inputs: bool = False) -> Tensor:
    """Outputs of ``b`` stacked networks of any architecture, by ``vmap``.

    Args:
        module: A module of the architecture; its own parameters are not used.
        params: Stacked parameters.
        x: Inputs shared by the networks, or a set for each of them.
        own_inputs: Whether each network has inputs of its own.
    """

    def one(single: Params, inputs: Tensor) -> Tensor:
        return functional_call(module, single, (inputs,))

    return vmap(one, in_dims=(0, 0 if own_inputs else None))(params, x)


def _module(target: AbstractTarget) -> nn.Module:
    # Without storage: under a millisecond.
    with torch.device("meta") if target.bare else torch.random.fork_rng(devices=[]):
        module = target.build().eval()
    for part in module.modules():
        if isinstance(part, _NORMS) and part.affine and part.track_running_stats:
            part.forward = partial(_normalized, part)
    return module


_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _normalized(
    norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d, input: Float[Tensor, "p c *w"]
) -> Float[Tensor, "p c *w"]:
    """A batch normalization in eval mode, with gradients of its running statistics: torch's own has none, and operators
    change them like any other parameter."""
    mean, var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    places = (1,) * (input.dim() - 2)
    mean, factor, bias = (v.view(-1, *places) for v in (mean, norm.weight * (var + norm.eps).rsqrt(), norm.bias))
    return (input - mean) * factor + bias
