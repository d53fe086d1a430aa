"""Calibration: one factor on a network's logits, which changes its loss and none of its predictions.

How much of a lower loss is temperature alone is seen by giving every network its best factor first.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..._errors import SpecError
from ..._types import Params
from ...spec import SymmetrySpec
from .._stacks import num_networks, outputs, pieces, select
from .objective import Forward, cross_entropy

CALIBRATION_IMAGES = 5000
"""Most training images that a factor is fitted on, evenly spaced over all."""

LARGEST_FACTOR = 32.0
"""Factors of networks lie between its inverse and it: one that fits its training images has no best factor."""


def best_factor(logits: Float[Tensor, "b p k"], labels: Int[Tensor, " p"]) -> Float[Tensor, " b"]:
    """The factor on each network's logits with the lowest cross-entropy, by safeguarded Newton steps."""
    factor = torch.ones(len(logits), dtype=logits.dtype)
    own = logits.gather(-1, labels.expand(len(logits), -1)[..., None])[..., 0]
    for _ in range(20):
        probs = (factor[:, None, None] * logits).softmax(-1)
        mean = (probs * logits).sum(-1)
        slope = (mean - own).mean(1)
        curvature = ((probs * logits.square()).sum(-1) - mean.square()).mean(1)
        # The loss is convex in the factor; halving or doubling at most keeps a step from leaving its range.
        step = slope / curvature.clamp_min(1e-12)
        factor = (factor - step).clamp(min=factor / 2, max=factor * 2)
    return factor


@torch.no_grad()
def network_factors(
    params: Params, forward: Forward, images: Float[Tensor, "p i"], labels: Int[Tensor, " p"]
) -> Float[Tensor, " b"]:
    """The best factor of each network on up to 5,000 of the images."""
    some, answers = _evenly(images), _evenly(labels)
    found = [
        best_factor(outputs(forward, select(params, piece), some).double(), answers)
        for piece in pieces(num_networks(params), len(some))
    ]
    return _bounded(torch.cat(found)).float()


@torch.no_grad()
def common_factor(
    params: Params, forward: Forward, images: Float[Tensor, "p i"], labels: Int[Tensor, " p"]
) -> Float[Tensor, ""]:
    """The one factor for all networks with the lowest mean cross-entropy on up to 5,000 of the images."""
    some, answers = _evenly(images), _evenly(labels)
    logits = outputs(forward, params, some)
    # All images of all networks as those of one network.
    return _bounded(best_factor(logits.flatten(0, 1)[None], answers.repeat(len(logits))))[0]


@torch.no_grad()
def calibrated_loss(
    params: Params,
    forward: Forward,
    train: tuple[Float[Tensor, "p i"], Int[Tensor, " p"]],
    test: tuple[Float[Tensor, "q i"], Int[Tensor, " q"]],
) -> Float[Tensor, " b"]:
    """Cross-entropy of each network on the test images once its logits have their best factor on training images."""
    factors = network_factors(params, forward, *train)
    losses = [
        cross_entropy(factors[piece, None, None] * outputs(forward, select(params, piece), test[0]), test[1])
        for piece in pieces(num_networks(params), len(test[0]))
    ]
    return torch.cat(losses)


def scale_outputs(params: Params, spec: SymmetrySpec, factor: Float[Tensor, "*b"]) -> Params:
    """Networks with all logits times ``factor`` (one for everybody or one each), by their last weight and bias.

    Raises:
        SpecError: if the architecture does not end in one linear layer.
    """
    scaled = dict(params)
    for name in last_layer(spec):
        if name is not None:
            tensor = params[name]
            scaled[name] = tensor * factor.to(tensor.dtype).reshape(-1, *([1] * (tensor.dim() - 1)))
    return scaled


def last_layer(spec: SymmetrySpec) -> tuple[str, str | None]:
    """Names of the last linear layer's weight and bias.

    Raises:
        SpecError: if the architecture does not end in one linear layer.
    """
    out = spec.spaces[-1].name
    ends = [(name, axes) for name, axes in spec.params if axes and axes[0].parts[0].space == out]
    weights = [name for name, axes in ends if len(axes) == 2]
    biases = [name for name, axes in ends if len(axes) == 1]
    if len(weights) != 1 or len(biases) > 1:
        raise SpecError(
            f"the last layer of {spec} cannot be changed alone: it should be one weight and one bias of space "
            f"{out!r}, found {[name for name, _ in ends]}. Leave this row out of the table: "
            "evaluate(run, only=(...)) names the others."
        )
    return weights[0], biases[0] if biases else None


def _evenly(values: Tensor) -> Tensor:
    return values[:: -(-len(values) // CALIBRATION_IMAGES)]


def _bounded(factors: Tensor) -> Tensor:
    # The loss is convex, so the nearest bound is the best factor within the bounds.
    return factors.clamp(1 / LARGEST_FACTOR, LARGEST_FACTOR)
