"""The rows of the amortized-optimization table: what each method does to the test networks."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, final

import torch

from .._errors import ConfigError
from .._types import Params
from ..tasks import constant_output, num_networks, objective_values, prune_magnitude, refit_last_layer, select
from ..zoo import finetune
from . import operator, record
from .config import Run
from .fit import model_folder, run_operator
from .material import Material, Progress, spread

Optimizer = Literal["sgd", "adam"]


@final
@dataclass(frozen=True)
class Changed:
    """What a method returns: new networks, seconds it took for all of them, and choices worth knowing."""

    params: Params
    seconds: float
    detail: dict[str, Any]


@final
@dataclass(frozen=True)
class Context:
    """What a method may read: the run, its material, the test networks, and rows that were computed before."""

    config: Run
    folder: Path
    material: Material
    test: Params
    cells: Callable[[str], dict[str, Any] | None]
    progress: Progress | None


@final
@dataclass(frozen=True)
class Method:
    """One row of the table.

    ``checkpoint`` names the model whose weights its numbers follow from: training it further makes the row stale.
    """

    name: str
    label: str
    needs_data: bool
    change: Callable[[Context], Changed]
    checkpoint: str | None = None


def methods(config: Run) -> list[Method]:
    """All rows of a run's table, in order."""
    settings = config.evaluate
    rows = [
        Method("input", "input networks", False, _input),
        Method("ours", "operator (ours)", False, partial(_operator, name="ours"), "ours"),
        Method("broken", "symmetry-broken twin", False, partial(_operator, name="broken"), "broken"),
        Method("constant", "constant output (best training network)", False, _constant),
        Method("refit", "last layer refitted", True, _refit),
    ]
    if config.objective.l1 > 0:
        for fraction in settings.magnitude:
            share = round(100 * fraction)
            change = partial(_magnitude, fraction=fraction)
            rows.append(Method(f"magnitude-{share}", f"magnitude pruning, {share} %", False, change))
    baselines: list[tuple[Optimizer, str, tuple[int, ...]]] = [
        ("sgd", "SGD", settings.sgd_epochs),
        ("adam", "Adam", settings.adam_epochs),
    ]
    for kind, title, all_epochs in baselines:
        for epochs in all_epochs:
            change = partial(_tuned, optimizer=kind, epochs=epochs)
            unit = "epoch" if epochs == 1 else "epochs"
            rows.append(Method(f"{kind}-{epochs}", f"{title}, {epochs} {unit}", True, change))
    if settings.adam_epochs:
        rows.append(Method("adam-equal", "Adam, at most the operator's seconds", True, _adam_equal, "ours"))
    return rows


def _input(context: Context) -> Changed:
    return Changed(context.test, 0.0, {})


def _operator(context: Context, name: str) -> Changed:
    loaded = operator.load(model_folder(context.folder, name) / record.CHECKPOINT)
    batch = context.config.train.batch_size
    return _timed(lambda: run_operator(loaded.module, context.test, batch))


def _constant(context: Context) -> Changed:
    train = context.material.train
    best = int(train.val_accuracy.argmax())
    chosen = select(train.params, slice(best, best + 1))
    # A network that is handed out costs nothing per network.
    detail = {"run": int(train.runs[best]), "val_accuracy": float(train.val_accuracy[best])}
    return Changed(constant_output(chosen, num_networks(context.test)), 0.0, detail)


def _refit(context: Context) -> Changed:
    material, images = context.material, context.material.images
    train, val = (images.train_x, images.train_y), (images.val_x, images.val_y)
    return _timed(lambda: refit_last_layer(context.test, material.spec, material.forward, train, val))


def _magnitude(context: Context, fraction: float) -> Changed:
    return _timed(lambda: prune_magnitude(context.test, fraction))


def _tuned(context: Context, optimizer: Optimizer, epochs: int) -> Changed:
    rate = _learning_rate(context, optimizer, epochs)
    done = _timed(lambda: _finetune(context, context.test, optimizer, rate, epochs))
    return replace(done, detail={"learning_rate": rate, "epochs": epochs})


def _adam_equal(context: Context) -> Changed:
    """Adam for at most as many seconds as the operator needs, by the speed it showed in a trial of one epoch."""
    ours = context.cells("ours")
    if ours is None:
        raise ConfigError("the row 'adam-equal' needs the operator's seconds. Evaluate 'ours' first.")
    num = num_networks(context.test)
    budget = ours["seconds_per_network"] * num
    rate = _learning_rate(context, "adam", 1)
    epoch = _timed(lambda: _finetune(context, context.test, "adam", rate, 1)).seconds
    epochs = int(budget / epoch)
    if epochs >= 1:
        done = _timed(lambda: _finetune(context, context.test, "adam", rate, epochs))
        return replace(done, detail={"learning_rate": rate, "epochs": epochs})
    # Less than an epoch: the same steps on as many images as the time allows.
    images = context.material.images
    count = max(context.config.evaluate.batch_size, int(len(images.train_x) * budget / epoch))
    count = min(count, len(images.train_x))
    fewer = replace(images, train_x=images.train_x[:count], train_y=images.train_y[:count])
    short = replace(context, material=replace(context.material, images=fewer))
    done = _timed(lambda: _finetune(short, context.test, "adam", rate, 1))
    return replace(done, detail={"learning_rate": rate, "epochs": count / len(images.train_x)})


def _learning_rate(context: Context, optimizer: Optimizer, epochs: int) -> float:
    """The rate with the lowest mean objective on validation networks and validation images."""
    settings, val = context.config.evaluate, context.material.val
    rates = settings.sgd_learning_rates if optimizer == "sgd" else settings.adam_learning_rates
    if len(rates) == 1:
        return rates[0]
    some = select(val.params, spread(len(val), min(settings.tuning_networks, len(val))))
    task, images = context.material.objective(context.config), context.material.images
    losses = []
    for rate in rates:
        tuned = _finetune(context, some, optimizer, rate, epochs)
        loss = objective_values(task, tuned, some, images.val_x, images.val_y).mean().item()
        losses.append(loss if loss == loss else float("inf"))
    return rates[losses.index(min(losses))]


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


def _timed(work: Callable[[], Params]) -> Changed:
    began = time.perf_counter()
    with torch.no_grad():
        params = work()
    return Changed(params, time.perf_counter() - began, {})
