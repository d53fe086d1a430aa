"""Amortized optimization: what an operator that changes networks in one pass is trained to minimize.

An objective is a pure function of the operator's output, its input, a batch of images and the way target
networks are run; it returns one number per network, so the same function trains (mean over networks) and
scores (one row per network).
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ..._errors import ConfigError
from ..._types import Params

ObjectiveName = Literal["ce", "distill"]

Forward = Callable[[Params, Tensor], Tensor]
"""Runs stacked target networks: ``(params, images [p, i]) -> logits [b, p, k]``."""

Objective = Callable[[Params, Params, Tensor, Tensor], Tensor]
"""``(new params, old params, images [p, i], labels [p]) -> value per network [b]``, lower is better."""

DEFAULT_L1 = {("mlp", "tanh"): 5e-4, ("mlp", "relu"): 5e-4, ("cnn", "tanh"): 1e-3, ("cnn", "relu"): 1.5e-3}
"""Weight of the L1 term by (architecture, activation).

Source: arXiv:2510.08300, Appendix D.1.1, which leaves ReLU MLPs out; theirs is taken from tanh.
"""


def l1_norm(params: Params) -> Float[Tensor, " b"]:
    """Sum of absolute values over all parameters of each network."""
    total = [tensor.abs().flatten(1).sum(1) for tensor in params.values()]
    return torch.stack(total).sum(0)


def cross_entropy(logits: Float[Tensor, "b p k"], labels: Int[Tensor, " p"]) -> Float[Tensor, " b"]:
    """Mean cross-entropy of each network in nats."""
    own = logits.gather(-1, labels.expand(len(logits), -1)[..., None])[..., 0]
    return (logits.logsumexp(-1) - own).mean(1)


def divergence(new: Float[Tensor, "b p k"], old: Float[Tensor, "b p k"]) -> Float[Tensor, " b"]:
    """Mean Kullback-Leibler divergence of each network's new outputs from its old ones, in nats; 0 if equal."""
    target = old.log_softmax(-1)
    return F.kl_div(new.log_softmax(-1), target, reduction="none", log_target=True).sum(-1).mean(1)


def objective(kind: ObjectiveName, l1: float, forward: Forward, counted: Sequence[str] | None = None) -> Objective:
    """The named objective; its L1 term is summed over the parameters of the operator's output.

    ``ce`` is the cross-entropy with the labels + ``l1`` x L1. ``distill`` replaces the labels by the network's
    own outputs: keep the function, shed weights.

    Args:
        kind: ``ce`` or ``distill``.
        l1: Weight of the L1 term, at least 0.
        forward: How stacked target networks are run.
        counted: Names of the parameters in the L1 term: no running statistics, no counts. Default: all.

    Raises:
        ConfigError: if ``l1`` is negative, or 0 for ``distill`` (returning the input would be optimal).

    Source: arXiv:2510.08300, eq. 1, for ``ce``; ``distill`` is ours.
    """
    check_l1(kind, l1)

    def value(new: Params, old: Params, images: Tensor, labels: Tensor) -> Tensor:
        logits = forward(new, images)
        if kind == "ce":
            fit = cross_entropy(logits, labels)
        else:
            with torch.no_grad():
                target = forward(old, images)
            fit = divergence(logits, target)
        return fit + l1 * l1_norm({name: new[name] for name in counted or new}) if l1 else fit

    return value


def check_l1(kind: ObjectiveName, l1: float) -> None:
    """Refuse weights of the L1 term under which the objective is meaningless.

    Raises:
        ConfigError: saying which value would do.
    """
    if l1 < 0:
        raise ConfigError(
            f"the weight of the L1 term is {l1:g}; it must not be negative. Try --task.objective.l1 5e-4."
        )
    if kind == "distill" and l1 == 0:
        raise ConfigError(
            "the objective 'distill' with l1 = 0 is minimized by returning every network unchanged. "
            "Try --task.objective.l1 5e-4, or a recipe with the objective 'ce'."
        )
