"""One classifier of any architecture trained by torch: for networks too large or too odd for the stacked trainer."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ._hyper import stream
from ._images import Images
from ._seed_config import SeedZooConfig
from ._train import shuffler

_WARM_UP = 0.1  # share of the steps
_AT_ONCE = 500  # images per evaluation


def train_module(
    config: SeedZooConfig, seed: int, images: Images, advance: Callable[[int], None] | None = None
) -> tuple[nn.Module, bool]:
    """The network that ``seed`` gives, in eval mode, and whether its training broke down.

    The learning rate rises linearly over a tenth of the steps and falls to zero along a cosine. A network that is
    not finite after an epoch goes back to the end of the epoch before and stays there.

    Args:
        config: Settings.
        seed: Of initialization and order of images.
        images: Whole images; the training part is used.
        advance: Called after every epoch with the number of images.
    """
    net = initial_module(config, seed)
    shape = config.target.example().shape[1:]
    # The convolutions of this size are a quarter faster with the channels last.
    layout = torch.channels_last if len(shape) == 3 else torch.contiguous_format
    net = net.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
    optimizer = _optimizer(config, net)
    num = len(images.train_x)
    steps = config.epochs * -(-num // config.batch_size)
    order, shuffle, step = np.arange(num), shuffler(seed), 0
    sound = _copy(net)
    net.train()
    for _ in range(config.epochs):
        shuffle.shuffle(order)
        for index in torch.from_numpy(order).split(config.batch_size):
            rate = config.learning_rate * _schedule((step + 0.5) / steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            x = images.train_x.index_select(0, index).view(-1, *shape).contiguous(memory_format=layout)
            optimizer.zero_grad()
            F.cross_entropy(net(x), images.train_y[index]).backward()
            optimizer.step()
            step += 1
        if not all(value.isfinite().all() for value in net.state_dict().values()):
            net.load_state_dict(sound)
            return net.eval(), True
        sound = _copy(net)
        if advance is not None:
            advance(num)
    return net.eval(), False


def initial_module(config: SeedZooConfig, seed: int) -> nn.Module:
    """A network with the weights its training starts from; the global random state is left alone.

    Normal weights of variance 2 / fan in before ReLU (arXiv:1502.01852), else 1 / fan in; biases 0, gains 1.
    """
    with torch.device("meta"):
        net = config.target.build()
    net.to_empty(device="cpu")
    rng = np.random.Generator(np.random.PCG64(stream(seed, "init")))
    gain = 2 if config.target.nonlinearity == "relu" else 1
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.dim() > 1:
                std = math.sqrt(gain / value[0].numel())
                value.copy_(torch.from_numpy(std * rng.standard_normal(tuple(value.shape))))
            else:
                # Of vectors, only gains and variances of a normalization start from one.
                value.fill_(name.endswith(("weight", "running_var")))
    return net


def measure(net: nn.Module, x: Float[Tensor, "p i"], y: Int[Tensor, " p"], shape: torch.Size) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy of a network on images that it reads in the given shape."""
    loss, right = 0.0, 0
    with torch.no_grad():
        for some, labels in zip(x.split(_AT_ONCE), y.split(_AT_ONCE), strict=True):
            logits = net(some.view(-1, *shape))
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            right += int((logits.argmax(1) == labels).sum())
    return loss / len(x), right / len(x)


def _optimizer(config: SeedZooConfig, net: nn.Module) -> torch.optim.Optimizer:
    matrices = [p for p in net.parameters() if p.dim() > 1]
    vectors = [p for p in net.parameters() if p.dim() == 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": config.l2},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, fused=True)
    return torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True, fused=True)


def _schedule(done: float) -> float:
    """Learning rate at a share of the steps, as a share of the largest."""
    if done < _WARM_UP:
        return done / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))


def _copy(net: nn.Module) -> Mapping[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}
