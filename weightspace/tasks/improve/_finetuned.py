"""Rows that fine-tune every test network by SGD or Adam, at a learning rate chosen on validation networks."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from ..._errors import ConfigError
from ..._types import Params
from ...zoo import finetune
from .._methods import Answer, Context, timed
from .._stacks import select, spread
from .metrics import objective_values

if TYPE_CHECKING:
    from ._problem import ImproveProblem

Optimizer = Literal["sgd", "adam"]


def tuned(problem: "ImproveProblem", context: Context, optimizer: Optimizer, epochs: int) -> Answer[Params]:
    """Every test network after ``epochs`` epochs."""
    choice = _learning_rate(problem, context, optimizer, epochs)
    rate = choice["learning_rate"]
    done = timed(lambda: _finetune(problem, context, context.test.params, optimizer, rate, epochs))
    return replace(done, detail=choice | {"epochs": epochs})


def adam_equal(problem: "ImproveProblem", model: str, context: Context) -> Answer[Params]:
    """Adam for about as many seconds as the operator needs, by the speed it showed in a trial of one epoch."""
    ours = context.cell(model)
    if ours is None:
        raise ConfigError(f"the row 'adam-equal' needs the operator's seconds. Evaluate {model!r} first.")
    test = context.test.params
    budget = ours["seconds_per_network"] * len(context.test)
    rates = sorted(problem.task.table.adam_learning_rates)
    trial = timed(lambda: _finetune(problem, context, test, "adam", rates[len(rates) // 2], 1))
    epochs = int(budget / trial.seconds)
    share, limited = float(epochs), problem
    if epochs < 1:
        # Less than an epoch: the same steps on as many images as the time allows.
        epochs, images = 1, problem.images
        count = max(problem.task.table.batch_size, int(len(images.train_x) * budget / trial.seconds))
        count = min(count, len(images.train_x))
        fewer = replace(images, train_x=images.train_x[:count], train_y=images.train_y[:count])
        share, limited = count / len(images.train_x), replace(problem, images=fewer)
    choice = _learning_rate(limited, context, "adam", epochs)
    done = timed(lambda: _finetune(limited, context, test, "adam", choice["learning_rate"], epochs))
    return replace(done, detail=choice | {"epochs": share, "operator_seconds": ours["seconds_per_network"]})


def _learning_rate(problem: "ImproveProblem", context: Context, optimizer: Optimizer, epochs: int) -> dict[str, Any]:
    """The rate with the lowest mean objective on validation networks and validation images, and how it was found.

    Rates are tried for as many epochs as the row has; those that diverge in their first epoch get no more.
    """
    table, val = problem.task.table, problem.dataset.splits["val"]
    rates = sorted(table.sgd_learning_rates if optimizer == "sgd" else table.adam_learning_rates)
    if len(rates) == 1:
        return {"learning_rate": rates[0], "edge": None, "tried": {}}
    some = select(val.params, spread(len(val), min(table.tuning_networks, len(val))))

    def after(rate: float, epochs: int) -> Params:
        return _finetune(problem, context, some, optimizer, rate, epochs)

    tried: dict[float, float | None] = {}
    for rate in rates:
        diverged = epochs > 1 and _diverges(problem, some, after(rate, 1))
        loss = math.inf if diverged else _value(problem, after(rate, epochs), some)
        tried[rate] = loss if math.isfinite(loss) else None
    sound = {rate: loss for rate, loss in tried.items() if loss is not None}
    best = min(sound, key=lambda rate: sound[rate]) if sound else rates[0]
    edge = "smallest" if best == rates[0] else "largest" if best == rates[-1] else None
    return {"learning_rate": best, "edge": edge, "tried": {f"{rate:g}": loss for rate, loss in tried.items()}}


def _diverges(problem: "ImproveProblem", before: Params, after: Params) -> bool:
    """Whether one epoch ruined the networks.

    A network whose weights overflow comes back as it was. Else an objective that rose by more than the whole
    loss of guessing is beyond repair.
    """
    trained = problem.dataset.target.trained()
    moved = torch.stack([(after[name] != before[name]).flatten(1).any(1) for name in trained]).any(0)
    if not bool(moved.all()):
        return True
    rise = _value(problem, after, before) - _value(problem, before, before)
    return not rise <= math.log(problem.images.num_classes)


def _value(problem: "ImproveProblem", params: Params, before: Params) -> float:
    """Mean objective on validation images."""
    images = problem.images
    return objective_values(problem.objective, params, before, images.val_x, images.val_y).mean().item()


def _finetune(
    problem: "ImproveProblem", context: Context, params: Params, optimizer: Optimizer, rate: float, epochs: int
) -> Params:
    task, dataset = problem.task, problem.dataset
    return finetune(
        params,
        dataset.spec,
        problem.images,
        optimizer=optimizer,
        learning_rate=rate,
        batch_size=task.table.batch_size,
        epochs=epochs,
        target=dataset.target,
        l1=task.objective.l1,
        distill=task.objective.kind == "distill",
        seed=context.seed,
        progress=context.progress,
    )
