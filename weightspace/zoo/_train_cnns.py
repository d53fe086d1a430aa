"""Small CNNs trained side by side: gradients network after network, optimizers for all of a group at once."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .._types import Params
from ._cnn_passes import CNNPasses
from ._dropout import DropoutMasks
from ._flat import Shapes, num_weights, views
from ._hyper import Hyper, stream
from ._train import (
    Trained,
    Trainer,
    initial_buffer,
    optimizers_of,
    shuffle_rows,
    shuffler,
    training_images,
)
from .targets import CNNTarget

_AT_ONCE = 128  # images per evaluation: their hidden values stay in the cache


def train_cnns(
    group: Sequence[Hyper],
    target: CNNTarget,
    columns: Float[Tensor, "train k"],
    labels: Int[Tensor, " train"],
    *,
    batch_size: int,
    checkpoints: Sequence[int],
    advance: Callable[[int], None] | None = None,
) -> Trained:
    """Train the runs of ``group``, all on one data fraction, up to the last of the ``checkpoints``.

    Each run has its own images, their order and its own dropout, all from its seed: with whom it is grouped changes
    its weights by rounding at most.

    Args:
        group: Hyper-parameters of each run; runs of one optimizer stand side by side.
        target: Architecture.
        columns: Training images, as the first layer reads them.
        labels: Their classes.
        batch_size: Images per step.
        checkpoints: Epochs after which the weights are kept, increasing; 0 is the initialization.
        advance: Called after every epoch with the number of model-images it trained on.
    """
    shapes, dtype = target.shapes(), columns.dtype
    weights = initial_buffer(group, shapes, dtype)
    passes = CNNPasses(target, batch_size, dtype)
    rates = [hyper.dropout for hyper in group]
    seeds = [stream(hyper.seed, "dropout") for hyper in group]
    masks = DropoutMasks(seeds, rates, passes.units, batch_size, dtype) if any(rates) else None
    batch = torch.empty(batch_size, columns.shape[1], dtype=dtype)

    def gradient(params: Params, index: Tensor, out: Params) -> None:
        factors = None if masks is None else masks.next(index.shape[1])
        for k, own in enumerate(index):
            x = torch.index_select(columns, 0, own, out=batch[: len(own)])
            y = labels.index_select(0, own)
            mine = None if factors is None else [layer[k] for layer in factors]
            passes.gradient(_network(params, k), x, y, _network(out, k), mine)

    trainer = Trainer(weights, shapes, optimizers_of(group, num_weights(shapes), dtype), gradient, batch_size)
    order = np.stack([training_images(hyper, len(columns)) for hyper in group])
    shuffles = [shuffler(hyper.seed) for hyper in group]
    kept, lost = [], []
    for epoch in range(checkpoints[-1] + 1):
        if epoch:
            shuffle_rows(order, shuffles)
            done = trainer.epoch(torch.from_numpy(order))
            if advance is not None:
                advance(done)
        if epoch in checkpoints:
            kept.append(weights.clone())
            lost.append(trainer.diverged.clone())
    return Trained(torch.stack(kept, dim=1), torch.stack(lost, dim=1))


def measure_cnns(
    weights: Float[Tensor, "b w"],
    target: CNNTarget,
    columns: Float[Tensor, "p k"],
    labels: Int[Tensor, " p"],
) -> Float[Tensor, "b 2"]:
    """Mean cross-entropy (nats) and accuracy of each network on the same images."""
    shapes: Shapes = target.shapes()
    passes = CNNPasses(target, _AT_ONCE, columns.dtype)
    params = views(weights, shapes)
    out = torch.zeros(len(weights), 2, dtype=torch.float64)
    with torch.inference_mode():
        for x, y in zip(columns.split(_AT_ONCE), labels.split(_AT_ONCE), strict=True):
            for k, sums in enumerate(out):
                logits = passes.logits(_network(params, k), x)
                sums[0] += torch.nn.functional.cross_entropy(logits, y, reduction="sum")
                sums[1] += (logits.argmax(1) == y).sum()
    return (out / len(columns)).to(weights.dtype)


def _network(params: Params, k: int) -> Params:
    return {name: value[k] for name, value in params.items()}
