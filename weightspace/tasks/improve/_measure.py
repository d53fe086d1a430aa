"""What is measured on changed networks, and what of it stands in their row of the table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..._errors import SpecError
from ..._types import Params
from .._dataset import Networks
from .._methods import Answer, Method
from .._table import seconds
from ..bootstrap import mean_interval, pair_interval, resample
from .calibration import calibrated_loss
from .metrics import agreement_counts, dependence_pairs, fraction_below, objective_values, score
from .objective import l1_norm
from .orbit_l1 import orbit_minimal_l1

if TYPE_CHECKING:
    from ._problem import ImproveProblem

THRESHOLDS = (1e-3, 1e-2)
"""Absolute values below which a parameter counts as zero."""

PRUNED = (50, 70, 85)
"""Percentages of parameters set to zero, smallest first, before accuracy is measured again."""


def measure(problem: "ImproveProblem", answer: Answer[Params], test: Networks, seed: int) -> dict[str, Any]:
    """All numbers of a method, those of single networks among them."""
    params, forward, images = answer.value, problem.dataset.target.forward, problem.images
    testing, validation, training = (
        (images.test_x, images.test_y),
        (images.val_x, images.val_y),
        (images.train_x, images.train_y),
    )
    after, before = problem.scores(params), problem.scores(test.params)
    counts = agreement_counts(after.predictions, before.predictions)
    pairs = dependence_pairs(counts, len(images.test_x))
    weights = problem.weights(params)
    old, now = l1_norm(problem.weights(test.params)), l1_norm(weights)

    def pruned(share: int) -> float:
        return float(score(problem.pruned(params, share / 100), *testing, forward).accuracy.mean())

    return {
        "accuracy": _list(after.accuracy),
        "validation_accuracy": _list(score(params, *validation, forward).accuracy),
        "loss": _list(after.loss),
        "loss_calibrated": _list(calibrated_loss(params, forward, training, testing)),
        "objective": _list(objective_values(problem.objective, params, test.params, *testing)),
        "agreement": _list(counts.diagonal() / len(images.test_x)),
        "input_dependence": pair_interval(pairs, resample(test.runs, seed=seed)).to_json(),
        "l1_cut": float((1 - now / old).mean()),
        "orbit_l1_cut": _orbit_cut(problem, params, test.params),
        "zeros": {
            f"{limit:.0e}".replace("e-0", "e-"): float(fraction_below(weights, limit).mean()) for limit in THRESHOLDS
        },
        "pruned_accuracy": {str(share): pruned(share) for share in PRUNED},
    }


def row_of(method: Method[Any], cells: Mapping[str, dict[str, Any]], weights: np.ndarray) -> dict[str, Any]:
    """A row of ``results.json``: means over networks with their intervals."""

    def interval(values: Any) -> dict[str, float]:
        return mean_interval(np.asarray(values, dtype=np.float64), weights).to_json()

    def drop(key: str) -> dict[str, float] | None:
        inputs = cells.get("input")
        return None if inputs is None or method.name == "input" else interval(np.subtract(inputs[key], cell[key]))

    cell = cells[method.name]
    best = int(np.argmax(cell["validation_accuracy"]))
    return {
        "label": _label(method, cell),
        "accuracy": interval(cell["accuracy"]) | {"max": cell["accuracy"][best]},
        "loss": interval(cell["loss"]),
        "loss_calibrated": interval(cell["loss_calibrated"]),
        "objective": interval(cell["objective"]),
        "loss_drop": drop("loss"),
        "loss_calibrated_drop": drop("loss_calibrated"),
        "seconds_per_network": None if method.name == "input" else cell["seconds_per_network"],
        "agreement": interval(cell["agreement"]),
        "input_dependence": cell["input_dependence"],
        "l1_cut": cell["l1_cut"],
        "orbit_l1_cut": cell["orbit_l1_cut"],
        "zeros": cell["zeros"],
        "pruned_accuracy": cell["pruned_accuracy"],
        "detail": cell["detail"],
        "per_network_accuracy": cell["accuracy"],
    }


def _orbit_cut(problem: "ImproveProblem", params: Params, old: Params) -> float | None:
    spec = problem.dataset.spec
    if not any(space.scale in ("positive", "nonzero") for space in spec.free):
        return None
    try:
        before, now = orbit_minimal_l1(old, spec), orbit_minimal_l1(params, spec)
    except SpecError:
        # A batch normalization scales a variance by the square: no sum that is known to be the smallest.
        return None
    return float((1 - now / before).mean())


def _label(method: Method[Any], cell: dict[str, Any]) -> str:
    """The row's label; where time was the aim, with the time that was met."""
    if "operator_seconds" not in cell["detail"]:
        return method.label
    taken, aim = seconds(cell["seconds_per_network"]), seconds(cell["detail"]["operator_seconds"])
    return f"{method.label} ({taken} a network; operator {aim})"


def _list(values: Tensor) -> list[float]:
    return [float(value) for value in values]
