"""What a training step works on, as a function of (seed, step) alone: resuming needs no memory of the draws."""

import math

import torch
from jaxtyping import Int
from torch import Tensor

from ..tasks import step_generator
from .config import TrainConfig


def draw_networks(settings: TrainConfig, step: int, num: int) -> Int[Tensor, " c"]:
    """Networks of a step: every epoch is a permutation that depends on (seed, epoch) alone."""
    size = min(settings.batch_size, num)
    per_epoch = num // size
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(num, generator=step_generator(settings.seed, 1, epoch))
    return order[place * size : (place + 1) * size]


def learning_rate(settings: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine to 0."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
