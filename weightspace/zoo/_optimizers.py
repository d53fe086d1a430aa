"""SGD, Adam and RMSprop for many networks at once, each with its own learning rate and weight decay."""

from abc import ABC, abstractmethod
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ._hyper import OptimizerName


class AbstractOptimizer(ABC):
    """One kind of optimizer, for a number of networks."""

    @abstractmethod
    def step(self, weights: Float[Tensor, "b w"], grads: Float[Tensor, "b w"]) -> None:
        """Change the weights in place, given their gradients (which may be overwritten)."""


def make_optimizer(
    name: OptimizerName, learning_rate: Float[Tensor, " b"], l2: Float[Tensor, " b"], num_weights: int
) -> AbstractOptimizer:
    """The optimizer called ``name`` with torch's default constants; ``l2`` is torch's ``weight_decay``."""
    kinds = {"sgd": _SGD, "adam": _Adam, "rmsprop": _RMSprop}
    return kinds[name](learning_rate.unsqueeze(1), l2.unsqueeze(1), num_weights)


@final
class _SGD(AbstractOptimizer):
    def __init__(self, learning_rate: Tensor, l2: Tensor, num_weights: int) -> None:  # noqa: ARG002
        self._minus_rate, self._l2 = -learning_rate, l2

    def step(self, weights: Tensor, grads: Tensor) -> None:
        grads.addcmul_(weights, self._l2)
        weights.addcmul_(grads, self._minus_rate)


@final
class _RMSprop(AbstractOptimizer):
    def __init__(self, learning_rate: Tensor, l2: Tensor, num_weights: int) -> None:
        self._minus_rate, self._l2 = -learning_rate, l2
        self._square = learning_rate.new_zeros(len(learning_rate), num_weights)
        self._work = torch.empty_like(self._square)

    def step(self, weights: Tensor, grads: Tensor) -> None:
        grads.addcmul_(weights, self._l2)
        self._square.mul_(0.99).addcmul_(grads, grads, value=0.01)
        torch.sqrt(self._square, out=self._work).add_(1e-8)
        weights.addcmul_(grads.div_(self._work), self._minus_rate)


@final
class _Adam(AbstractOptimizer):
    def __init__(self, learning_rate: Tensor, l2: Tensor, num_weights: int) -> None:
        self._rate, self._l2 = learning_rate, l2
        self._mean = learning_rate.new_zeros(len(learning_rate), num_weights)
        self._square = torch.zeros_like(self._mean)
        self._work = torch.empty_like(self._mean)
        self._steps = 0

    def step(self, weights: Tensor, grads: Tensor) -> None:
        self._steps += 1
        grads.addcmul_(weights, self._l2)
        self._mean.lerp_(grads, 0.1)
        self._square.mul_(0.999).addcmul_(grads, grads, value=0.001)
        # Both bias corrections go into the step size and epsilon: two passes over the buffer less.
        root = (1 - 0.999**self._steps) ** 0.5
        torch.sqrt(self._square, out=self._work).add_(1e-8 * root)
        torch.div(self._mean, self._work, out=self._work)
        weights.addcmul_(self._work, self._rate * (-root / (1 - 0.9**self._steps)))
