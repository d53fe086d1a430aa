"""Rows that fine-tune every test network by SGD or Adam, at a learning rate chosen on validation networks."""

import math
from dataclasses import replace
from typing import Any, Literal

import torch

from .._errors import ConfigError
from .._types import Params
from ..tasks import num_networks, objective_values, select
from ..zoo import finetune
from ._context import Changed, Context, timed
from .material import spread

Optimizer = Literal["sgd", "adam"]


def tuned(context: Context, optimizer: Optimizer, epochs: int) -> Changed:
    """Every test network after ``epochs`` epochs."""
    choice = _learning_rate(context, optimizer, epochs)
    done = timed(lambda: _finetune(context, context.test, optimizer, choice["learning_rate"], epochs))
    return replace(done, detail=choice | {"epochs": epochs})


def adam_equal(context: Context) -> Changed:
    """Adam for about as many seconds as the operator needs, by the speed it showed in a trial of one epoch."""
    ours = context.cells("ours")
    if ours is None:
        raise ConfigError("the row 'adam-equal' needs the operator's seconds. Evaluate 'ours' first.")
    budget = ours["seconds_per_network"] * num_networks(context.test)
    rates = sorted(context.config.evaluate.adam_learning_rates)
    trial = timed(lambda: _finetune(context, context.test, "adam", rates[len(rates) // 2], 1))
    epochs = int(budget / trial.seconds)
    share, limited = float(epochs), context
    if epochs < 1:
        # Less than an epoch: the same steps on as many images as the time allows.
        epochs, images = 1, context.material.images
        count = max(context.config.evaluate.batch_size, int(len(images.train_x) * budget / trial.seconds))
        count = min(count, len(images.train_x))
        fewer = replace(images, train_x=images.train_x[:count], train_y=images.train_y[:count])
        share, limited = count / len(images.train_x), replace(context, material=replace(context.material, images=fewer))
    choice = _learning_rate(limited, "adam", epochs)
    done = timed(lambda: _finetune(limited, context.test, "adam", choice["learning_rate"], epochs))
    return replace(done, detail=choice | {"epochs": share, "operator_seconds": ours["seconds_per_network"]})


def _learning_rate(context: Context, optimizer: Optimizer, epochs: int) -> dict[str, Any]:
    """The rate with the lowest mean objective on validation networks and validation images, and how it was found.

    Rates are tried for as many epochs as the row has; those that diverge in their first epoch get no more.
    """
    settings, val = context.config.evaluate, context.material.val
    rates = sorted(settings.sgd_learning_rates if optimizer == "sgd" else settings.adam_learning_rates)
    if len(rates) == 1:
        return {"learning_rate": rates[0], "edge": None, "tried": {}}
    some = select(val.params, spread(len(val), min(settings.tuning_networks, len(val))))
    tried: dict[float, float | None] = {}
    for rate in rates:
        diverged = epochs > 1 and _diverges(context, some, _finetune(context, some, optimizer, rate, 1))
        loss = math.inf if diverged else _value(context, _finetune(context, some, optimizer, rate, epochs), some)
        tried[rate] = loss if math.isfinite(loss) else None
    sound = {rate: loss for rate, loss in tried.items() if loss is not None}
    best = min(sound, key=lambda rate: sound[rate]) if sound else rates[0]
    edge = "smallest" if best == rates[0] else "largest" if best == rates[-1] else None
    return {"learning_rate": best, "edge": edge, "tried": {f"{rate:g}": loss for rate, loss in tried.items()}}


def _diverges(context: Context, before: Params, after: Params) -> bool:
    """Whether one epoch ruined the networks.

    A network whose weights overflow comes back as it was. Else an objective that rose by more than the whole
    loss of guessing is beyond repair.
    """
    moved = torch.stack([(after[name] != before[name]).flatten(1).any(1) for name in before]).any(0)
    if not bool(moved.all()):
        return True
    rise = _value(context, after, before) - _value(context, before, before)
    return not rise <= math.log(context.material.images.num_classes)


def _value(context: Context, params: Params, before: Params) -> float:
    """Mean objective on validation images."""
    task, images = context.material.objective(context.config), context.material.images
    return objective_values(task, params, before, images.val_x, images.val_y).mean().item()


def _finetune(context: Context, params: Params, optimizer: Optimizer, rate: float, epochs: int) -> Params:
    config, material = context.config, context.material
    return finetune(
        params,
        material.spec,
        material.images,
        optimizer=optimizer,
        learning_rate=rate,
        batch_size=config.evaluate.batch_size,
        epochs=epochs,
        activation=material.activation,
        l1=config.objective.l1,
        distill=config.objective.kind == "distill",
        seed=config.train.seed,
        progress=context.progress,
    )
