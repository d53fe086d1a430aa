"""Numbers of the amortized-optimization table, one per network, computed in pieces that stay in cache."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ..._types import Params
from .._stacks import num_networks, outputs, pieces, select
from .objective import Forward, Objective, cross_entropy


@final
@dataclass(frozen=True)
class Scores:
    """Accuracy (fraction), cross-entropy (nats) and predicted classes of each network."""

    accuracy: Float[Tensor, " b"]
    loss: Float[Tensor, " b"]
    predictions: UInt8[Tensor, "b p"]


@torch.no_grad()
def score(params: Params, images: Float[Tensor, "p i"], labels: Int[Tensor, " p"], forward: Forward) -> Scores:
    """Accuracy, loss and predictions of stacked networks on one set of images."""
    accuracy, loss, predictions = [], [], []
    for piece in pieces(num_networks(params), len(images)):
        logits = outputs(forward, select(params, piece), images)
        classes = logits.argmax(-1)
        predictions.append(classes.to(torch.uint8))
        accuracy.append((classes == labels).float().mean(1))
        loss.append(cross_entropy(logits, labels))
    return Scores(torch.cat(accuracy), torch.cat(loss), torch.cat(predictions))


@torch.no_grad()
def objective_values(
    objective: Objective, new: Params, old: Params, images: Float[Tensor, "p i"], labels: Int[Tensor, " p"]
) -> Float[Tensor, " b"]:
    """The objective of each network on one set of images."""
    values = [
        objective(select(new, piece), select(old, piece), images, labels)
        for piece in pieces(num_networks(new), len(images))
    ]
    return torch.cat(values)


def agreement_counts(changed: UInt8[Tensor, "j p"], original: UInt8[Tensor, "i p"]) -> Int[Tensor, "j i"]:
    """On how many images the changed network ``j`` predicts the class of the original network ``i``."""
    counts = torch.zeros(len(changed), len(original), dtype=torch.float64)
    for label in torch.unique(original).tolist():
        # Products of 0/1 matrices: exact in float32 up to 2^24 images.
        counts += (changed == label).float() @ (original == label).float().T
    return counts.long()


def dependence_pairs(counts: Int[Tensor, "b b"], images: int) -> np.ndarray:
    """``agreement(f(i), i) - agreement(f(j), i)`` for every ordered pair ``[i, j]``, as fractions.

    Its mean over ``i != j`` is the input-dependence: how much better the change of *this* network keeps its
    predictions than the change of another one. An operator that returns the same network for everybody has
    exactly 0, however good that network is (differences are taken between integers).
    """
    own = counts.diagonal()
    return ((own[:, None] - counts.T).numpy()) / images


def fraction_below(params: Params, threshold: float) -> Float[Tensor, " b"]:
    """Fraction of each network's parameters with absolute value below ``threshold``."""
    flat = flatten(params)
    return (flat.abs() < threshold).float().mean(1)


def flatten(params: Params) -> Float[Tensor, "b q"]:
    """All parameters of each network as one row."""
    return torch.cat([tensor.flatten(1) for tensor in params.values()], 1)
