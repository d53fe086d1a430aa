"""Fine-tuning of many given networks side by side: the iterative baseline, and a tool of its own."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .._errors import SpecMismatch
from .._types import Params, Progress
from ..spec import SymmetrySpec
from ._flat import Shapes, num_weights, pack, views
from ._gradient import automatic_gradient, class_first_logits, cross_entropy_gradient
from ._hyper import OptimizerName, run_seed
from ._images import Images
from ._optimizers import make_optimizer
from ._pool import Advance, workers
from ._train import MOST_AT_ONCE, Gradient, Trainer, gather, shuffle_rows, shuffler
from .targets import AbstractTarget, MLPTarget


def finetune(
    params: Params,
    spec: SymmetrySpec,
    images: Images,
    *,
    optimizer: OptimizerName = "sgd",
    learning_rate: float = 0.01,
    batch_size: int = 64,
    epochs: int = 25,
    target: AbstractTarget | None = None,
    l1: float = 0.0,
    distill: bool = False,
    seed: int = 0,
    ids: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Params:
    """The stacked networks after ``epochs`` epochs of training on the training images.

    See :func:`finetune_path`, which also keeps earlier epochs.
    """
    path, _ = finetune_path(
        params,
        spec,
        images,
        optimizer=optimizer,
        learning_rate=learning_rate,
        batch_size=batch_size,
        epochs=(epochs,),
        target=target,
        l1=l1,
        distill=distill,
        seed=seed,
        ids=ids,
        progress=progress,
    )
    return path[epochs]


def finetune_path(
    params: Params,
    spec: SymmetrySpec,
    images: Images,
    *,
    optimizer: OptimizerName = "sgd",
    learning_rate: float = 0.01,
    batch_size: int = 64,
    epochs: Sequence[int] = (25, 50, 100, 150),
    target: AbstractTarget | None = None,
    l1: float = 0.0,
    distill: bool = False,
    seed: int = 0,
    ids: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> tuple[dict[int, Params], Bool[Tensor, " b"]]:
    """The stacked networks after each of the ``epochs``, trained on the training images; and which of them diverged.

    Every network has its own order of images, a function of ``seed`` and its id: networks may be fine-tuned in
    any portions, and a portion again, with the same result up to rounding (to the byte, if the portion is the
    same). A network that diverges keeps the weights of its last sound epoch.

    Args:
        params: Stacked networks; left as they are.
        spec: Their spec.
        images: The training part is used.
        optimizer: ``sgd``, ``adam`` or ``rmsprop``, with torch's default constants.
        learning_rate: Of every network.
        batch_size: Images per step.
        epochs: Epochs to return, each at least 1.
        target: Their architecture; default: the tanh MLP of the spec. What gradients do not change (running statistics
            of a batch normalization) stays as it is, in training as in evaluation.
        l1: Factor of the sum of absolute weights in the loss, arXiv:2510.08300, eq. 1.
        distill: Fit the network's own outputs before the training instead of the labels.
        seed: Of the order of images.
        ids: Identity of each network (default: its place).
        progress: Called with model-images done, all of them, and a message.

    Raises:
        SpecMismatch: if the parameters do not fit the spec.
    """
    spec.check_values(params)
    shaped = {name: spec.shape(name) for name in spec.axes}
    target = target or MLPTarget.of_shapes(shaped, "tanh")
    if target is None:
        raise SpecMismatch(f"the architecture {spec} is no MLP. Say what it is: finetune(..., target=CNNTarget(...)).")
    shapes = {name: shaped[name] for name in target.trained()}
    still = {name: params[name] for name in shaped if name not in shapes}
    start = pack({name: params[name].detach() for name in shapes})
    numbers = list(range(len(start))) if ids is None else list(ids)
    num_images = len(images.train_x)
    advance = Advance(progress, len(start) * num_images * max(epochs), f"fine-tuning ({optimizer})")

    def portion(places: np.ndarray) -> tuple[list[Tensor], Tensor]:
        weights = start[torch.from_numpy(places)]
        fixed = {name: value[torch.from_numpy(places)] for name, value in still.items()}
        gradient = _gradient(weights.clone(), shapes, fixed, images, target, distill)
        rate = torch.full((len(weights),), learning_rate, dtype=weights.dtype)
        step = make_optimizer(optimizer, rate, torch.zeros_like(rate), num_weights(shapes))
        trainer = Trainer(weights, shapes, [(slice(None), step)], gradient, batch_size, l1)
        order = np.tile(np.arange(num_images, dtype=np.int32), (len(places), 1))
        shuffles = [shuffler(run_seed(seed, numbers[place])) for place in places]
        kept: dict[int, Tensor] = {}
        for epoch in range(1, max(epochs) + 1):
            shuffle_rows(order, shuffles)
            advance(trainer.epoch(torch.from_numpy(order)))
            if epoch in epochs:
                kept[epoch] = weights.clone()
        return [kept[epoch] for epoch in epochs], trainer.diverged

    with workers(advance) as pool:
        parts = max(1, -(-len(start) // MOST_AT_ONCE))
        trained = list(pool.map(portion, np.array_split(np.arange(len(start)), parts)))
    path: dict[int, Params] = {}
    for k, epoch in enumerate(epochs):
        found = still | views(torch.cat([part[k] for part, _ in trained]), shapes)
        path[epoch] = {name: found[name] for name in shaped}
    return path, torch.cat([diverged for _, diverged in trained])


def _gradient(
    before: Tensor, shapes: Shapes, fixed: Params, images: Images, target: AbstractTarget, distill: bool
) -> Gradient:
    old = fixed | views(before, shapes)

    def gradient(params: Params, index: Tensor, out: Params) -> None:
        x, y = gather(images.train_x, images.train_y, index)
        # The divergence from fixed outputs has the gradient of the cross-entropy with them.
        goal = torch.softmax(_class_first(old, x, target), dim=1) if distill else y
        if isinstance(target, MLPTarget):
            cross_entropy_gradient(params, x, goal, target.activation, None, out)
        else:
            automatic_gradient(params, fixed, x, goal, target.forward, out)

    return gradient


def _class_first(params: Params, x: Tensor, target: AbstractTarget) -> Float[Tensor, "b o p"]:
    if isinstance(target, MLPTarget):
        return class_first_logits(params, x, target.activation)
    return target.forward(params, x).transpose(1, 2)
