"""The rows of the amortized-optimization table: what each method does to the test networks."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, final

from .._types import Params
from ..tasks import (
    common_factor,
    constant_output,
    network_factors,
    num_networks,
    prune_magnitude,
    refit_last_layer,
    scale_outputs,
    select,
)
from . import operator, record
from ._context import Changed, Context, timed
from ._finetuned import Optimizer, adam_equal, tuned
from .config import Run
from .fit import model_folder, run_operator
from .material import spread

FACTOR_NETWORKS = 256
"""Most training networks that the factor of the row ``global-scale`` is chosen on, evenly spaced over all."""


@final
@dataclass(frozen=True)
class Method:
    """One row of the table.

    ``checkpoint`` names the model whose weights its numbers follow from (training it further makes the row stale),
    ``after`` the row it reads, and ``settings`` are the values of the configuration that it follows from.
    """

    name: str
    label: str
    needs_data: bool
    change: Callable[[Context], Changed]
    checkpoint: str | None = None
    after: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def methods(config: Run) -> list[Method]:
    """All rows of a run's table, in order."""
    factors = [
        Method("global-scale", "one factor on all logits, the same for everybody", False, _global_scale),
        Method("calibrated", "best factor on the logits of each network", True, _calibrated),
    ]
    rows = [
        Method("input", "input networks", False, _input),
        _operator_row(config, "ours", "operator (ours)"),
        # A factor changes no prediction; where the labels are not the aim there is nothing to calibrate.
        *(factors if config.objective.kind == "ce" else []),
        _operator_row(config, "broken", "symmetry-broken twin"),
        Method("constant", "constant output (best training network)", False, _constant),
        Method("refit", "last layer refitted", True, _refit),
    ]
    if config.objective.l1 > 0:
        rows += [_magnitude_row(fraction) for fraction in config.evaluate.magnitude]
    rows += [_tuned_row(config, "sgd", epochs) for epochs in config.evaluate.sgd_epochs]
    rows += [_tuned_row(config, "adam", epochs) for epochs in config.evaluate.adam_epochs]
    if config.evaluate.adam_epochs:
        label = "Adam, about the operator's seconds"
        settings = _tuning(config, "adam")
        rows.append(Method("adam-equal", label, True, adam_equal, "ours", "ours", settings))
    return rows


def _operator_row(config: Run, name: str, label: str) -> Method:
    settings = {"batch_size": config.train.batch_size}
    return Method(name, label, False, partial(_operator, name=name), name, settings=settings)


def _magnitude_row(fraction: float) -> Method:
    share = round(100 * fraction)
    change, settings = partial(_magnitude, fraction=fraction), {"fraction": fraction}
    return Method(f"magnitude-{share}", f"magnitude pruning, {share} %", False, change, settings=settings)


def _tuned_row(config: Run, optimizer: Optimizer, epochs: int) -> Method:
    title = {"sgd": "SGD", "adam": "Adam"}[optimizer]
    unit = "epoch" if epochs == 1 else "epochs"
    change = partial(tuned, optimizer=optimizer, epochs=epochs)
    settings = _tuning(config, optimizer)
    return Method(f"{optimizer}-{epochs}", f"{title}, {epochs} {unit}", True, change, settings=settings)


def _tuning(config: Run, optimizer: Optimizer) -> dict[str, Any]:
    names = {f"{optimizer}_learning_rates", "tuning_networks", "batch_size"}
    return config.evaluate.model_dump(mode="json", include=names) | {"seed": config.train.seed}


def _input(context: Context) -> Changed:
    return Changed(context.test, 0.0, {})


def _operator(context: Context, name: str) -> Changed:
    loaded = operator.load(model_folder(context.folder, name) / record.CHECKPOINT)
    batch = context.config.train.batch_size
    return timed(lambda: run_operator(loaded.module, context.test, batch))


def _constant(context: Context) -> Changed:
    train = context.material.train
    best = int(train.val_accuracy.argmax())
    chosen = select(train.params, slice(best, best + 1))
    # A network that is handed out costs nothing per network.
    detail = {"run": int(train.runs[best]), "val_accuracy": float(train.val_accuracy[best])}
    return Changed(constant_output(chosen, num_networks(context.test)), 0.0, detail)


def _global_scale(context: Context) -> Changed:
    material, images = context.material, context.material.images
    some = select(material.train.params, spread(len(material.train), min(FACTOR_NETWORKS, len(material.train))))
    # Validation images, as for every choice. Like training an operator, choosing the factor is no part of applying it.
    factor = common_factor(some, material.forward, images.val_x, images.val_y)
    done = timed(lambda: scale_outputs(context.test, material.spec, factor))
    return replace(done, detail={"factor": float(factor)})


def _calibrated(context: Context) -> Changed:
    material, images = context.material, context.material.images

    def work() -> Params:
        factors = network_factors(context.test, material.forward, images.train_x, images.train_y)
        return scale_outputs(context.test, material.spec, factors)

    return timed(work)


def _refit(context: Context) -> Changed:
    material, images = context.material, context.material.images
    train, val = (images.train_x, images.train_y), (images.val_x, images.val_y)
    return timed(lambda: refit_last_layer(context.test, material.spec, material.forward, train, val))


def _magnitude(context: Context, fraction: float) -> Changed:
    return timed(lambda: prune_magnitude(context.test, fraction))
