"""Hidden activations of target networks, by name."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._errors import ConfigError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "abs": torch.abs,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "erf": torch.erf,
    "hardtanh": F.hardtanh,
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "gelu": F.gelu,
    "silu": F.silu,
    "elu": F.elu,
    "selu": F.selu,
    "relu6": F.relu6,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
}
"""Hidden activations by name."""

ActivationName = Literal[
    "relu", "leaky_relu", "abs", "tanh", "sin", "erf", "hardtanh", "softsign", "tanhshrink", "hardshrink",
    "softshrink", "gelu", "silu", "elu", "selu", "relu6", "mish", "hardswish", "sigmoid", "softplus",
]  # fmt: skip


def activation_function(name: str) -> Callable[[Tensor], Tensor]:
    """The activation called ``name``.

    Raises:
        ConfigError: for a name that is not in :data:`ACTIVATIONS`.
    """
    if name not in ACTIVATIONS:
        raise ConfigError(f"unknown activation {name!r}. Choose one of: {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]
