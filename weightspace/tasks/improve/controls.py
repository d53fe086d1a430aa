"""Controls of the amortized-optimization table: simple changes of a network that an operator has to beat.

Every choice (best network, ridge) is made on validation images; the calibration of a scale on training images.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ..._types import Params
from ...spec import SymmetrySpec
from .._stacks import concatenate, num_networks, outputs, pieces, select
from .calibration import CALIBRATION_IMAGES, best_factor, last_layer
from .metrics import flatten
from .objective import Forward, cross_entropy

RIDGES = (1e-6, 1e-4, 1e-2, 1.0)
"""Ridge weights tried by :func:`refit_last_layer`, relative to the mean squared feature."""


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
    weight, bias = last_layer(spec)
    done = []
    for piece in pieces(num_networks(params), max(len(train[0]), len(val[0]))):
        done.append(_refit(select(params, piece), weight, bias, forward, train, val))
    return concatenate(done)


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
        hidden = outputs(forward, probe, images).double()
        return torch.cat([hidden, torch.ones_like(hidden[..., :1])], -1) if bias is not None else hidden

    hidden, targets = features(train[0]), F.one_hot(train[1], classes).double()
    gram, cross = hidden.mT @ hidden / len(targets), hidden.mT @ targets / len(targets)
    stride = -(-len(targets) // CALIBRATION_IMAGES)
    some, labels, held_out = hidden[:, ::stride], train[1][::stride], features(val[0])
    penalty = torch.eye(gram.shape[-1], dtype=torch.float64)
    if bias is not None:
        penalty[-1, -1] = 0
    # The floor keeps the system solvable when every feature is dead.
    size = gram.diagonal(dim1=1, dim2=2)[:, :width].mean(1).clamp_min(1e-8)
    best, best_loss = torch.zeros_like(cross), torch.full((num,), torch.inf, dtype=torch.float64)
    for ridge in RIDGES:
        head = torch.linalg.solve(gram + ridge * size[:, None, None] * penalty, cross)
        head = head * best_factor(some @ head, labels)[:, None, None]
        loss = cross_entropy(held_out @ head, val[1])
        best = torch.where((loss < best_loss)[:, None, None], head, best)
        best_loss = torch.minimum(loss, best_loss)
    kind = params[weight].dtype
    refitted = dict(params) | {weight: best[:, :width].mT.to(kind)}
    if bias is not None:
        refitted[bias] = best[:, width].to(kind)
    return refitted
