"""Many networks trained side by side: one flat buffer, batched products, an optimizer and a data order for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .._types import Params
from ._dropout import DropoutMasks
from ._flat import Shapes, num_weights, views
from ._gradient import cross_entropy_gradient
from ._hyper import Hyper, stream
from ._images import Images
from ._init import initial_weights
from ._optimizers import AbstractOptimizer, make_optimizer
from .targets import MLPTarget

MOST_AT_ONCE = 32
"""Networks per batched product: more gain nothing and leave the cache."""

LARGEST_WEIGHT = 1e6
"""A run with a larger weight has diverged; below it, logits of five layers stay finite in float32."""

Gradient = Callable[[Params, Int[Tensor, "b p"], Params], None]
"""Writes the gradients of stacked networks on the images of the given indices into its third argument."""


@final
class Trainer:
    """Networks that see equally many images per epoch, trained in step.

    A network that diverges (a weight that is not finite, or beyond :data:`LARGEST_WEIGHT`) goes back to its
    weights at the end of the last epoch that was sound, and stays there.

    Args:
        weights: Buffer of all networks, changed in place.
        shapes: Shape of each parameter.
        optimizers: Slices of networks and the optimizer of each.
        gradient: Of the loss.
        batch_size: Images per step; the last step of an epoch takes what is left.
        l1: Factor of the sum of absolute weights in the loss (its subgradient at 0 is 0).
    """

    def __init__(
        self,
        weights: Float[Tensor, "b w"],
        shapes: Shapes,
        optimizers: Sequence[tuple[slice, AbstractOptimizer]],
        gradient: Gradient,
        batch_size: int,
        l1: float = 0.0,
    ) -> None:
        self.weights = weights
        self.diverged: Bool[Tensor, " b"] = torch.zeros(len(weights), dtype=torch.bool)
        self._sound = weights.clone()
        self._grads = torch.empty_like(weights)
        self._params, self._grad_views = views(weights, shapes), views(self._grads, shapes)
        self._optimizers, self._gradient, self._batch_size = optimizers, gradient, batch_size
        self._l1 = l1

    def epoch(self, order: Int[Tensor, "b n"]) -> int:
        """Train on each network's images in its ``order``; returns how many model-images that were.

        Images of networks that have diverged are not counted.
        """
        # Without autograd's bookkeeping each of the hundred small operations of a step is a tenth cheaper.
        with torch.inference_mode():
            for index in order.split(self._batch_size, dim=1):
                self._gradient(self._params, index, self._grad_views)
                if self._l1:
                    self._grads.add_(self.weights.sign(), alpha=self._l1)
                for some, optimizer in self._optimizers:
                    optimizer.step(self.weights[some], self._grads[some])
        # NaN fails the comparison as well.
        self.diverged |= ~(self.weights.abs().amax(1) <= LARGEST_WEIGHT)
        lost = self.diverged.unsqueeze(1)
        torch.where(lost, self._sound, self.weights, out=self._sound)
        self.weights.copy_(self._sound)
        return int((~self.diverged).sum()) * order.shape[1]


@final
@dataclass(frozen=True)
class Trained:
    """Weights of each run at each checkpoint, and whether the run had diverged by then."""

    weights: Float[Tensor, "b t w"]
    diverged: Bool[Tensor, "b t"]


def training_images(hyper: Hyper, num_images: int) -> np.ndarray:
    """Indices of the training images the run sees (int32), in random order."""
    rng = np.random.Generator(np.random.PCG64(stream(hyper.seed, "order")))
    order = rng.permutation(np.arange(num_images, dtype=np.int32))
    return order[: max(1, round(hyper.fraction * num_images))]


def groups(hypers: Sequence[Hyper], most: int = MOST_AT_ONCE) -> list[list[int]]:
    """Places of runs trained together: one data fraction, optimizers side by side, at most ``most`` in equal parts."""
    places = sorted(range(len(hypers)), key=lambda k: (hypers[k].fraction, hypers[k].optimizer, hypers[k].id))
    out: list[list[int]] = []
    for _, same in groupby(places, key=lambda k: hypers[k].fraction):
        members = list(same)
        parts = -(-len(members) // most)
        out += [list(map(int, part)) for part in np.array_split(members, parts)]
    return out


def train_group(
    group: Sequence[Hyper],
    target: MLPTarget,
    images: Images,
    *,
    batch_size: int,
    checkpoints: Sequence[int],
    advance: Callable[[int], None] | None = None,
) -> Trained:
    """Train the runs of ``group``, all on one data fraction, up to the last of the ``checkpoints``.

    A run on a fraction of the images makes that fraction of the steps per epoch. With whom a run is grouped
    changes its weights by rounding only.

    Args:
        group: Hyper-parameters of each run; runs of one optimizer stand side by side.
        target: Architecture.
        images: The training part is used.
        batch_size: Images per step.
        checkpoints: Epochs after which the weights are kept, increasing.
        advance: Called after every epoch with the number of model-images it trained on.
    """
    shapes = target.shapes()
    weights = initial_buffer(group, shapes)
    rates = [hyper.dropout for hyper in group]
    seeds = [stream(hyper.seed, "dropout") for hyper in group]
    masks = DropoutMasks(seeds, rates, target.widths[1:-1], batch_size) if any(rates) else None

    def gradient(params: Params, index: Tensor, out: Params) -> None:
        x, y = gather(images.train_x, images.train_y, index)
        factors = None if masks is None else masks.next(index.shape[1])
        cross_entropy_gradient(params, x, y, target.activation, factors, out)

    trainer = Trainer(weights, shapes, optimizers_of(group, num_weights(shapes)), gradient, batch_size)
    num_images = len(images.train_x)
    order = np.stack([training_images(hyper, num_images) for hyper in group])
    shuffles = [shuffler(hyper.seed) for hyper in group]
    kept, lost = [], []
    for epoch in range(1, checkpoints[-1] + 1):
        shuffle_rows(order, shuffles)
        done = trainer.epoch(torch.from_numpy(order))
        if advance is not None:
            advance(done)
        if epoch in checkpoints:
            kept.append(weights.clone())
            lost.append(trainer.diverged.clone())
    return Trained(torch.stack(kept, dim=1), torch.stack(lost, dim=1))


def initial_buffer(group: Sequence[Hyper], shapes: Shapes, dtype: torch.dtype = torch.float32) -> Float[Tensor, "b w"]:
    """The weights that each run of the group starts from."""
    weights = torch.empty(len(group), num_weights(shapes), dtype=dtype)
    for row, hyper in zip(weights, group, strict=True):
        initial = initial_weights(hyper, shapes, stream(hyper.seed, "init"))
        row.copy_(torch.from_numpy(np.concatenate([value.ravel() for value in initial.values()])))
    return weights


def gather(
    x: Float[Tensor, "train i"], y: Int[Tensor, " train"], index: Int[Tensor, "b p"]
) -> tuple[Float[Tensor, "b p i"], Int[Tensor, "b p"]]:
    """Each network's images and labels. ``index_select`` is four times as fast as indexing by a matrix."""
    flat = index.reshape(-1)
    return x.index_select(0, flat).view(*index.shape, -1), y.index_select(0, flat).view(index.shape)


def shuffler(seed: int) -> np.random.Generator:
    """What orders the images of the run with this seed, epoch after epoch."""
    return np.random.Generator(np.random.SFC64(stream(seed, "shuffle")))


def shuffle_rows(order: np.ndarray, generators: Sequence[np.random.Generator]) -> None:
    """Shuffle each row in place by its own generator."""
    for row, generator in zip(order, generators, strict=True):
        generator.shuffle(row)


def optimizers_of(
    group: Sequence[Hyper], size: int, dtype: torch.dtype = torch.float32
) -> list[tuple[slice, AbstractOptimizer]]:
    """Slices of the group and the optimizer of each; runs of one optimizer stand side by side."""
    out: list[tuple[slice, AbstractOptimizer]] = []
    start = 0
    for _, same in groupby(group, key=lambda hyper: hyper.optimizer):
        members = list(same)
        rate = torch.tensor([hyper.learning_rate for hyper in members], dtype=dtype)
        decay = torch.tensor([hyper.l2 for hyper in members], dtype=dtype)
        out.append((slice(start, start + len(members)), make_optimizer(members[0].optimizer, rate, decay, size)))
        start += len(members)
    return out
