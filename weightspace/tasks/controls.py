"""Controls of the amortized-optimization table: simple changes of a network that an operator has to beat.

Every choice (best network, ridge) is made on validation images; the calibration of a scale on training images.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from .._errors import SpecError
from .._types import Params
from ..spec import SymmetrySpec
from .amortize import Forward, cross_entropy
from .metrics import concatenate, flatten, num_networks, pieces, select

RIDGES = (1e-6, 1e-4, 1e-2, 1.0)
"""Ridge weights tried by :func:`refit_last_layer`, relative to the mean squared feature."""

_CALIBRATION_IMAGES = 5000


def constant_output(best: Params, num: int) -> Params:
    """One network (a stack of 1) as the answer for ``num`` networks."""
    return {name: tensor.expand(num, *tensor.shape[1:]) for name, tensor in best.items()}


def prune_magnitude(params: Params, fraction: float) -> Params:
    """Each network with the given fraction of its parameters set to zero, the smallest first.

    One threshold per network over all its parameters, biases included; ties are broken by position, so exactly
    ``round(fraction * parameters)`` entries are zeroed.
    """
    flat = flatten(params)
    smallest = flat.abs().argsort(dim=1, stable=True)[:, : round(fraction * flat.shape[1])]
    flat = flat.scatter(1, smallest, 0.0)
    sizes = [tensor[0].numel() for tensor in params.values()]
    parts = flat.split(sizes, 1)
    return {name: part.reshape(params[name].shape) for name, part in zip(params, parts, strict=True)}


@torch.no_grad()
def refit_last_layer(
    params: Params,
    spec: SymmetrySpec,
    forward: Forward,
    train: tuple[Float[Tensor, "p i"], Int[Tensor, " p"]],
    val: tuple[Float[Tensor, "q i"], Int[Tensor, " q"]],
) -> Params:
    """Each network with its last layer replaced by a closed-form fit of the labels.

    Ridge regression of the last hidden features to one-hot labels on all training images (float64, bias not
    penalized), then one factor per network on all logits that minimizes the cross-entropy on up to 5,000
    training images. The ridge of each network is the one of :data:`RIDGES` with the lowest cross-entropy on the
    validation images.

    Raises:
        SpecError: if the architecture does not end in one linear layer.
    """
    weight, bias = _last_layer(spec)
    done = []
    for piece in pieces(num_networks(params), max(len(train[0]), len(val[0]))):
        done.append(_refit(select(params, piece), weight, bias, forward, train, val))
    return concatenate(done)


def _last_layer(spec: SymmetrySpec) -> tuple[str, str | None]:
    out = spec.spaces[-1].name
    ends = [(name, axes) for name, axes in spec.params if axes and axes[0].space == out]
    weights = [name for name, axes in ends if len(axes) == 2]
    biases = [name for name, axes in ends if len(axes) == 1]
    if len(weights) != 1 or len(biases) > 1:
        raise SpecError(
            f"the last layer of {spec} cannot be refitted: it should be one weight and one bias of space {out!r}, "
            f"found {[name for name, _ in ends]}. Leave the method 'refit' out of the table."
        )
    return weights[0], biases[0] if biases else None


def _refit(
    params: Params,
    weight: str,
    bias: str | None,
    forward: Forward,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
) -> Params:
    num, classes, width = params[weight].shape
    # A last layer that is the identity makes the network return its last hidden features.
    probe = dict(params) | {weight: torch.eye(width).expand(num, width, width)}
    if bias is not None:
        probe[bias] = torch.zeros(num, width)

    def features(images: Tensor) -> Tensor:
        hidden = forward(probe, images).double()
        return torch.cat([hidden, torch.ones_like(hidden[..., :1])], -1) if bias is not None else hidden

    hidden, targets = features(train[0]), F.one_hot(train[1], classes).double()
    gram, cross = hidden.mT @ hidden / len(targets), hidden.mT @ targets / len(targets)
    stride = max(1, len(targets) // _CALIBRATION_IMAGES)
    some, labels, held_out = hidden[:, ::stride], train[1][::stride], features(val[0])
    penalty = torch.eye(gram.shape[-1], dtype=torch.float64)
    if bias is not None:
        penalty[-1, -1] = 0
    # The floor keeps the system solvable when every feature is dead.
    size = gram.diagonal(dim1=1, dim2=2)[:, :width].mean(1).clamp_min(1e-8)
    best, best_loss = torch.zeros_like(cross), torch.full((num,), torch.inf, dtype=torch.float64)
    for ridge in RIDGES:
        head = torch.linalg.solve(gram + ridge * size[:, None, None] * penalty, cross)
        head = head * _calibrate(some @ head, labels)[:, None, None]
        loss = cross_entropy(held_out @ head, val[1])
        best = torch.where((loss < best_loss)[:, None, None], head, best)
        best_loss = torch.minimum(loss, best_loss)
    kind = params[weight].dtype
    refitted = dict(params) | {weight: best[:, :width].mT.to(kind)}
    if bias is not None:
        refitted[bias] = best[:, width].to(kind)
    return refitted


def _calibrate(logits: Float[Tensor, "b p k"], labels: Int[Tensor, " p"]) -> Float[Tensor, " b"]:
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
