"""How good a classifier is, read off its weights: its accuracy on test images that nobody runs through it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .._errors import ConfigError
from ._dataset import Dataset, Networks, Rows
from ._reading import AbstractReading, Goals, Score
from ._table import NONE, Column, Row, Table, hundred, interval, table_of
from .rank import r_squared, tau, tau_ceiling, tau_interval

COVERAGE = 0.9
"""Share of networks whose accuracy the interval is to hold."""

FEWEST = 8
"""Networks of a stratum in which an order is judged."""

MOST_RESAMPLES = 500


_SETTINGS = {"optimizer": "optimizer", "learning_rate": "learning_rate", "fraction": "train_fraction", "epoch": "epoch"}
"""Settings of training by which networks are grouped, and what the Small CNN Zoo calls them."""


@final
class PredictAccuracy(AbstractReading):
    """The test accuracy of every network of a zoo of classifiers, with an interval.

    Source: arXiv:2406.10685, section 6.2 (mean squared error of a sigmoid; Kendall's tau-b); the interval is
    split-conformal (Lei et al. 2018, arXiv:1604.04173) on validation networks, which also chose when training stopped.
    """

    kind: Literal["predict_accuracy"] = "predict_accuracy"

    scores: ClassVar[tuple[Score, ...]] = (
        Score("absolute", "absolute error (%)", "mean absolute difference from the accuracy", 100.0, 2),
        Score(
            "inside", "coverage (%)", f"networks inside their {100 * COVERAGE:.0f} % interval", 100.0, 1, higher=True
        ),
    )

    def goals(self, dataset: Dataset, networks: Networks) -> Float[Tensor, "b 1"]:
        """Accuracies on the test half.

        Raises:
            ConfigError: if the networks are no classifiers.
        """
        if "test_accuracy" not in networks.rows:
            raise ConfigError(
                f"the networks of this zoo ({dataset.target.kind}) have no test_accuracy: they are no classifiers. "
                "Give a zoo of classifiers, e.g. weightspace zoo make digits_mlp_tanh --out DIR"
            )
        return torch.as_tensor(np.array(networks.rows["test_accuracy"])).float().unsqueeze(1)

    def losses(self, answers: Float[Tensor, "b 1"], goals: Goals) -> Float[Tensor, " b"]:
        """Squared errors; answers are logits of accuracies."""
        return (answers.sigmoid() - goals).square().mean(1)

    def judged(self, answers: Float[Tensor, "b 1"], goals: Goals) -> dict[str, Tensor]:
        """Absolute errors."""
        return {"absolute": (answers.sigmoid() - goals).abs().mean(1)}

    def calibrated(self, answers: Float[Tensor, "b 1"], goals: Goals) -> dict[str, float]:
        """``interval``: half of its width, such that a new network lies inside with the chosen probability."""
        gaps = (answers.sigmoid() - goals).abs().flatten().double().sort().values
        place = int(np.ceil((len(gaps) + 1) * COVERAGE)) - 1
        return {"interval": float(gaps[place]) if place < len(gaps) else 1.0}

    def covered(self, answers: Float[Tensor, "b 1"], goals: Goals, known: Mapping[str, float]) -> dict[str, Tensor]:
        """Whether each network lies inside its interval."""
        return {"inside": (answers.sigmoid() - goals).abs().flatten() <= known["interval"]}

    def constant(self, goals: Goals) -> Float[Tensor, " 1"]:
        """The logit of the mean accuracy."""
        return goals.double().mean(0).clamp(1e-6, 1 - 1e-6).logit().to(goals.dtype)

    def said(self, answers: Float[Tensor, "b 1"], about: Mapping[str, str]) -> list[dict[str, Any]]:
        """Accuracy, and the ends of its interval."""
        half = float(about["interval"])
        return [
            {"accuracy": one, "low": max(0.0, one - half), "high": min(1.0, one + half)}
            for one in answers.sigmoid().flatten().tolist()
        ]

    def strata(self, rows: Rows) -> dict[str, list[str]]:
        """Optimizers, thirds of learning rates and of shares of the training data, and epochs, where they differ."""
        found = {}
        for name in _SETTINGS:
            column = next((key for key in (name, f"config.{_SETTINGS[name]}") if key in rows), None)
            if column is not None and len(np.unique(rows[column])) > 1:
                values = np.asarray(rows[column])
                found[name] = _thirds(values) if values.dtype.kind == "f" else [str(value) for value in values]
        return found

    def together(
        self,
        answers: Float[np.ndarray, "b 1"],
        goals: np.ndarray,
        strata: Mapping[str, list[str]],
        weights: np.ndarray,
    ) -> dict[str, Any]:
        """Order (tau-b, its ceiling, and within strata) and share of the variance."""
        predicted, true = 1 / (1 + np.exp(-answers[:, 0].astype(np.float64))), goals[:, 0].astype(np.float64)
        within = {}
        for name, labels in strata.items():
            groups = {label: np.array([one == label for one in labels]) for label in sorted(set(labels))}
            within[name] = {
                label: {"tau": tau(predicted[some], true[some]), "networks": int(some.sum())}
                for label, some in groups.items()
                if some.sum() >= FEWEST
            }
        return {
            "tau": tau_interval(predicted, true, weights[:MOST_RESAMPLES]).to_json(),
            "tau_ceiling": tau_ceiling(true),
            "r2": r_squared(predicted, true),
            "within": within,
        }

    @classmethod
    def title(cls, results: Mapping[str, Any]) -> str:
        """Of the report."""
        return f"Accuracy predicted from weights: {results.get('recipe', 'a run')}"

    @classmethod
    def tables(cls, results: Mapping[str, Any]) -> list[Table]:
        """Order and errors of every method, and its order within strata of the settings of training."""
        columns = [
            Column("tau-b", "Kendall's tau-b of predicted and true accuracies", interval("tau", _three)),
            Column("at most", "tau-b that ties of the true accuracies allow", lambda row: _three(row["tau_ceiling"])),
            Column("R2", "share of the variance that is explained", lambda row: _three(row["r2"])),
            Column("absolute error (%)", "mean absolute difference", interval("absolute", hundred)),
            Column("coverage (%)", "networks inside their interval, 90 % by design", interval("inside", hundred)),
            Column("half width (%)", "of the interval", lambda row: hundred(row["detail"]["interval"])),
        ]
        found = [table_of("Accuracies read off weights", columns, results["rows"])]
        done = [row for row in results["rows"] if row.get("status") == "done"]
        for name, groups in (done[0]["within"] if done else {}).items():
            words = f"tau-b of the networks whose {name.replace('_', ' ')} is this"
            inside = [Column(group, words, _within(name, group)) for group in groups]
            found.append(table_of(f"Order within strata: {name.replace('_', ' ')}", inside, results["rows"]))
        return found


def _within(name: str, group: str) -> Any:
    def cell(row: Row) -> str:
        one = row["within"].get(name, {}).get(group)
        return NONE if one is None else f"{_three(one['tau'])} ({one['networks']})"

    return cell


def _thirds(values: np.ndarray) -> list[str]:
    low, high = np.quantile(values, [1 / 3, 2 / 3])
    names = (f"up to {low:.2g}", f"up to {high:.2g}", f"above {high:.2g}")
    return [names[int(value > low) + int(value > high)] for value in values]


def _three(value: float) -> str:
    return f"{value:.3f}"
