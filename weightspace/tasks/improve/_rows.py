"""The rows of the table: what each method does to the test networks."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..._types import Params
from ...nn import AbstractFamily
from .._methods import Answer, Context, Method, timed
from .._stacks import in_passes, select, spread
from ._finetuned import Optimizer, adam_equal, tuned
from .calibration import common_factor, network_factors, scale_outputs
from .controls import constant_output, refit_last_layer

if TYPE_CHECKING:
    from ._problem import ImproveProblem

FACTOR_NETWORKS = 256
"""Most training networks that the factor of the row ``global-scale`` is chosen on, evenly spaced over all."""

TWINS = {"broken": "symmetry-broken twin", "permutations": "permutation-only twin"}
"""What the controls of a family are called."""


def methods(problem: "ImproveProblem", models: Mapping[str, AbstractFamily]) -> list[Method[Params]]:
    """All rows of a run's table, in order: the run's model after its inputs, its twins after the factors."""
    objective, table = problem.task.objective, problem.task.table
    ours, *twins = models
    factors = [
        Method(
            "global-scale", "one factor on all logits, the same for everybody", False, partial(_global_scale, problem)
        ),
        Method("calibrated", "best factor on the logits of each network", True, partial(_calibrated, problem)),
    ]
    rows = [
        Method("input", "input networks", False, _input),
        _operator_row(ours, "operator (ours)"),
        # A factor changes no prediction; where the labels are not the aim there is nothing to calibrate.
        *(factors if objective.kind == "ce" else []),
        *(_operator_row(name, TWINS.get(name, f"{name} twin")) for name in twins),
        Method("constant", "constant output (best training network)", False, partial(_constant, problem)),
        Method("refit", "last layer refitted", True, partial(_refit, problem)),
    ]
    if objective.l1 > 0:
        rows += [_magnitude_row(problem, fraction) for fraction in table.magnitude]
    rows += [_tuned_row(problem, "sgd", epochs) for epochs in table.sgd_epochs]
    rows += [_tuned_row(problem, "adam", epochs) for epochs in table.adam_epochs]
    if table.adam_epochs:
        label = "Adam, about the operator's seconds"
        equal = partial(adam_equal, problem, ours)
        rows.append(Method("adam-equal", label, True, equal, ours, ours, _tuning(problem, "adam")))
    return rows


def _operator_row(name: str, label: str) -> Method[Params]:
    return Method(name, label, False, partial(_operator, name=name), name)


def _magnitude_row(problem: "ImproveProblem", fraction: float) -> Method[Params]:
    share = round(100 * fraction)
    answer, settings = partial(_magnitude, problem, fraction=fraction), {"fraction": fraction}
    return Method(f"magnitude-{share}", f"magnitude pruning, {share} %", False, answer, settings=settings)


def _tuned_row(problem: "ImproveProblem", optimizer: Optimizer, epochs: int) -> Method[Params]:
    title = {"sgd": "SGD", "adam": "Adam"}[optimizer]
    unit = "epoch" if epochs == 1 else "epochs"
    answer = partial(tuned, problem, optimizer=optimizer, epochs=epochs)
    settings = _tuning(problem, optimizer)
    return Method(f"{optimizer}-{epochs}", f"{title}, {epochs} {unit}", True, answer, settings=settings)


def _tuning(problem: "ImproveProblem", optimizer: Optimizer) -> dict[str, Any]:
    names = {f"{optimizer}_learning_rates", "tuning_networks", "batch_size"}
    return problem.task.table.model_dump(mode="json", include=names)


def _input(context: Context) -> Answer[Params]:
    return Answer(context.test.params, 0.0)


def _operator(context: Context, name: str) -> Answer[Params]:
    module = context.model(name)
    return timed(lambda: in_passes(module, context.test.params, context.per_pass))


def _constant(problem: "ImproveProblem", context: Context) -> Answer[Params]:
    train = problem.dataset.splits["train"]
    accuracy = train.rows["val_accuracy"]
    best = int(accuracy.argmax())
    chosen = select(train.params, slice(best, best + 1))
    # A network that is handed out costs nothing per network.
    detail = {"run": int(train.runs[best]), "val_accuracy": float(accuracy[best])}
    return Answer(constant_output(chosen, len(context.test)), 0.0, detail)


def _global_scale(problem: "ImproveProblem", context: Context) -> Answer[Params]:
    dataset, images = problem.dataset, problem.images
    train = dataset.splits["train"]
    some = select(train.params, spread(len(train), min(FACTOR_NETWORKS, len(train))))
    # Validation images, as for every choice. Like training an operator, choosing the factor is no part of applying it.
    factor = common_factor(some, dataset.target.forward, images.val_x, images.val_y)
    done = timed(lambda: scale_outputs(context.test.params, dataset.spec, factor))
    return replace(done, detail={"factor": float(factor)})


def _calibrated(problem: "ImproveProblem", context: Context) -> Answer[Params]:
    dataset, images, params = problem.dataset, problem.images, context.test.params

    def work() -> Params:
        factors = network_factors(params, dataset.target.forward, images.train_x, images.train_y)
        return scale_outputs(params, dataset.spec, factors)

    return timed(work)


def _refit(problem: "ImproveProblem", context: Context) -> Answer[Params]:
    dataset, images = problem.dataset, problem.images
    train, val = (images.train_x, images.train_y), (images.val_x, images.val_y)
    return timed(lambda: refit_last_layer(context.test.params, dataset.spec, dataset.target.forward, train, val))


def _magnitude(problem: "ImproveProblem", context: Context, fraction: float) -> Answer[Params]:
    return timed(lambda: problem.pruned(context.test.params, fraction))
