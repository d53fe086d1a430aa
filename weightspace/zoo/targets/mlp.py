"""The MLP: flattened images to logits, and many of them evaluated at once.

Parameters are called ``layers.0.weight``, ``layers.0.bias``, ..., so stacked ones can be run without building a module.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Self, final

import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor, nn

from ..._types import Params
from ._target import AbstractTarget
from .activations import ActivationName, activation_function


@final
class MLP(nn.Module):
    """Classifier of flattened images: linear layers with one activation between them, logits at the end.

    The default sizes are those of the published MLP zoo (arXiv:2510.08300, appendix C.2: 5,386 parameters).
    """

    def __init__(self, widths: Sequence[int] = (64, 48, 32, 16, 10), activation: str = "tanh") -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.activation = activation
        self._function = activation_function(activation)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(self.widths, self.widths[1:], strict=False))

    def forward(self, x: Float[Tensor, "p i"]) -> Float[Tensor, "p o"]:
        *hidden, last = self.layers
        for layer in hidden:
            x = self._function(layer(x))
        return last(x)


@final
class MLPTarget(AbstractTarget):
    """Configuration of an :class:`MLP`."""

    kind: Literal["mlp"] = "mlp"
    widths: tuple[int, ...] = Field(
        default=(64, 48, 32, 16, 10), description="Neurons per layer, input and output included."
    )
    activation: ActivationName = Field(default="tanh", description="Activation between the layers.")

    @field_validator("widths")
    @classmethod
    def _at_least_one_layer(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"widths needs an input and an output size, all at least 1, got {widths}")
        return widths

    def build(self) -> MLP:
        """The module this configuration describes."""
        return MLP(self.widths, self.activation)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter, in ``state_dict`` order."""
        out: dict[str, tuple[int, ...]] = {}
        for index, (a, b) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            out[f"layers.{index}.weight"] = (b, a)
            out[f"layers.{index}.bias"] = (b,)
        return out

    def example(self) -> Tensor:
        """One input."""
        return torch.zeros(1, self.widths[0])

    def forward(self, params: Params, x: Float[Tensor, "*b p i"]) -> Float[Tensor, "b p o"]:
        """See :func:`stacked_mlp`."""
        return stacked_mlp(params, x, self.activation)

    @classmethod
    def of_shapes(cls, shapes: Mapping[str, tuple[int, ...]], activation: ActivationName) -> Self | None:
        """The target whose parameters have these shapes, if there is one."""
        weights = [f"layers.{index}.weight" for index in range(len(shapes) // 2)]
        if not weights or any(len(shapes.get(name, ())) != 2 for name in weights):
            return None
        target = cls(widths=(shapes[weights[0]][1], *(shapes[name][0] for name in weights)), activation=activation)
        return target if target.shapes() == dict(shapes) else None

    @property
    def nonlinearity(self) -> str:
        """What happens to a hidden pre-activation; part of the architecture's name."""
        return self.activation

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers that go in and out."""
        return self.widths[0], self.widths[-1]


def num_layers(params: Params) -> int:
    """Number of linear layers of a target network."""
    return sum(name.endswith(".weight") for name in params)


def stacked_mlp(params: Params, x: Float[Tensor, "*b p i"], activation: str = "tanh") -> Float[Tensor, "b p o"]:
    """Logits of ``b`` stacked MLPs on the images ``x``, shared (``[p, i]``) or one set each (``[b, p, i]``).

    Differentiable in parameters and images. For speed, tanh is computed as 2 sigmoid(2x) - 1 (largest error in
    float32: 2e-7).

    Args:
        params: Stacked parameters of an :class:`MLP`.
        x: Flattened images.
        activation: Name of the hidden activation.
    """
    h, last = stacked_hidden(params, x, activation), num_layers(params) - 1
    weight, bias = params[f"layers.{last}.weight"], params[f"layers.{last}.bias"]
    return torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2))


def stacked_hidden(
    params: Params,
    x: Float[Tensor, "*b p i"],
    activation: str,
    masks: Sequence[Tensor] | None = None,
) -> Float[Tensor, "b p h"]:
    """States of the last hidden layer (the images themselves if there is none).

    Args:
        params: Stacked parameters of an :class:`MLP`.
        x: Flattened images, shared or one set a network.
        activation: Name of the hidden activation.
        masks: Dropout factors ``[b, p, n]`` of each hidden layer.
    """
    function = activation_function(activation)
    h = x if x.dim() == 3 else x.expand(len(params["layers.0.weight"]), *x.shape)
    for index in range(num_layers(params) - 1):
        weight, bias = params[f"layers.{index}.weight"], params[f"layers.{index}.bias"]
        if activation == "tanh":
            z = torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2), alpha=2, beta=2)
            h = z.sigmoid_().mul(2).sub_(1)
        else:
            h = function(torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2)))
        if masks is not None:
            h = h * masks[index]
    return h
