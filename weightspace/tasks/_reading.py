"""Tasks that read something off each network: a functional's answer against what is known of the network.

A task of this kind says what the goal of a network is and how an answer is judged; the rest is here. Its table has the
run's models and one control, the best answer that looks at no network.
"""

import inspect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from .._errors import ConfigError
from .._types import Params, Progress
from ..nn import AbstractFamily, AbstractFunctional, Architecture
from ._dataset import Dataset, Networks, Rows
from ._methods import Answer, Context, Method, timed
from ._stacks import num_networks, select, spread
from ._table import SECONDS, Column, Row, Table, interval, is_done, table_of
from ._task import AbstractProblem, AbstractTask, Batch
from .bootstrap import mean_interval

Goals = Float[Tensor, "b o"] | Int[Tensor, " b"]
"""Numbers for each network, or its class."""


@final
@dataclass(frozen=True)
class Score:
    """A number by which answers are judged.

    Attributes:
        name: Key in the results.
        title: Of its column, with the unit.
        meaning: What it measures.
        factor: What values are multiplied by in tables (100 for percent).
        digits: Decimals in tables.
        higher: Whether more is better.
    """

    name: str
    title: str
    meaning: str
    factor: float = 1.0
    digits: int = 3
    higher: bool = False


NUMBER_SCORES = (Score("error", "squared error", "mean squared difference from the goal"),)
"""How predicted numbers are judged unless a task says otherwise."""

CLASS_SCORES = (
    Score("accuracy", "accuracy (%)", "networks that are put into their class", 100.0, 1, higher=True),
    Score("cross_entropy", "cross-entropy (nats)", "mean negative log-probability of the class"),
)
"""The same for classes."""


class AbstractReading(AbstractTask):
    """A task whose goal is a few numbers, or a class, for each network.

    Attributes:
        scores: How answers are judged; the first is the one that matters. For classes: :data:`CLASS_SCORES`.
        out: Numbers of an answer; for classes, how many there are.
    """

    scores: ClassVar[tuple[Score, ...]] = NUMBER_SCORES
    out: ClassVar[int] = 1

    @abstractmethod
    def goals(self, dataset: Dataset, networks: Networks) -> Goals:
        """What is to be read off each network: ``[b, out]`` numbers, or ``[b]`` classes (integers).

        Raises:
            ConfigError: if these networks have no such goal.
        """

    def losses(self, answers: Float[Tensor, "b o"], goals: Goals) -> Float[Tensor, " b"]:
        """What training minimizes: cross-entropy for classes, else the squared error."""
        if goals.is_floating_point():
            return (answers - goals).square().mean(1)
        return F.cross_entropy(answers, goals, reduction="none")

    def judged(self, answers: Float[Tensor, "b o"], goals: Goals) -> dict[str, Tensor]:
        """By name of a score, its value for each network."""
        if goals.is_floating_point():
            return {"error": (answers - goals).square().mean(1)}
        right = (answers.argmax(1) == goals).double()
        return {"accuracy": right, "cross_entropy": F.cross_entropy(answers, goals, reduction="none")}

    def said(self, answers: Float[Tensor, "b o"], about: Mapping[str, str]) -> list[dict[str, Any]]:
        """By network, what its answer says in plain words: the likeliest class with all probabilities, or numbers.

        Args:
            answers: Of a trained model.
            about: What its checkpoint says; the entries of :meth:`calibrated` are there.
        """
        del about
        if self.scores != CLASS_SCORES:
            names = ["value"] if self.out == 1 else [f"value{k}" for k in range(self.out)]
            return [dict(zip(names, row, strict=True)) for row in answers.tolist()]
        found = []
        for row in answers.double().softmax(1):
            shares = {f"p{k}": share for k, share in enumerate(row.tolist())}
            found.append({"class": int(row.argmax()), "probability": float(row.max())} | shares)
        return found

    def calibrated(self, answers: Float[Tensor, "b o"], goals: Goals) -> dict[str, float]:
        """What is learned from answers to validation networks once a model is trained: widths of intervals, say."""
        del answers, goals
        return {}

    def covered(self, answers: Float[Tensor, "b o"], goals: Goals, known: Mapping[str, float]) -> dict[str, Tensor]:
        """Scores of each network that follow from what :meth:`calibrated` said."""
        del answers, goals, known
        return {}

    def strata(self, rows: Rows) -> dict[str, list[str]]:
        """Settings by which networks are grouped, each with the group of every network."""
        del rows
        return {}

    def together(
        self,
        answers: Float[np.ndarray, "b o"],
        goals: np.ndarray,
        strata: Mapping[str, list[str]],
        weights: np.ndarray,
    ) -> dict[str, Any]:
        """Entries of a row that no mean over networks gives: correlations, for example.

        Args:
            answers: To the networks of the table.
            goals: Theirs.
            strata: See :meth:`strata`.
            weights: Resamples of the networks, for intervals.
        """
        del answers, goals, strata, weights
        return {}

    def constant(self, goals: Goals) -> Float[Tensor, " o"]:
        """The best answer that looks at no network: mean of the goals, or log frequencies of classes."""
        if goals.is_floating_point():
            return goals.mean(0)
        return (torch.bincount(goals, minlength=self.out).float() / len(goals)).clamp_min(1e-6).log()

    def model(self, family: AbstractFamily, architecture: Architecture) -> AbstractFunctional:
        """An untrained functional."""
        return family.functional(architecture, self.out)

    def open(
        self, dataset: Dataset, *, data_dir: str | Path | None = None, progress: Progress | None = None
    ) -> "ReadingProblem":
        """The task on a dataset, with the goals of all networks."""
        del data_dir, progress
        return ReadingProblem(self, dataset, {name: self._checked(dataset, of) for name, of in dataset.splits.items()})

    @classmethod
    def title(cls, results: Mapping[str, Any]) -> str:
        """Of the report."""
        name = str(results["task"]).partition(":")[0].rpartition(".")[2].replace("_", " ")
        return f"Reading networks ({name}): {results.get('recipe', 'a run')}"

    @classmethod
    def headline(cls, results: Mapping[str, Any]) -> str:
        """The run's model against the answer that looks at no network, by the first score."""
        rows = {row["method"]: row for row in results["rows"]}
        ours, constant = (rows.get(name) for name in ("ours", "constant"))
        first = cls.scores[0]
        if ours is None or not is_done(ours):
            return "The model was not run yet, so there is nothing to compare."
        said = f"{first.title}: {_number(first)(ours[first.name]['mean'])}"
        if constant is None or not is_done(constant):
            return f"On {results['num_networks']['test']} unseen networks, {said}."
        return (
            f"On {results['num_networks']['test']} unseen networks, {said}, against "
            f"{_number(first)(constant[first.name]['mean'])} of the best answer that looks at no network."
        )

    @classmethod
    def explained(cls, results: Mapping[str, Any]) -> str:
        """Networks and intervals."""
        counts = results["num_networks"]
        return (
            f"{counts['train']} networks to train on, {counts['val']} for choices, {counts['test']} unseen ones in the "
            "table. Intervals are 95 % bootstrap over training runs of networks. Seconds are wall time divided by "
            f"networks, {results['threads']} threads."
        )

    @classmethod
    def tables(cls, results: Mapping[str, Any]) -> list[Table]:
        """Every score of every method."""
        columns = [Column(s.title, s.meaning, interval(s.name, _number(s))) for s in cls.scores]
        rows: list[Row] = results["rows"]
        return [table_of("What each method reads", [*columns, SECONDS], rows)]

    @classmethod
    def described(cls, results: Mapping[str, Any]) -> dict[str, str]:
        """The networks."""
        return {"networks read": f"{results.get('architecture', '?')} on {results.get('images', '?')}"}

    def _checked(self, dataset: Dataset, networks: Networks) -> Goals:
        """The goals, once they are known to be one for each network: others would broadcast, and train on nonsense.

        Raises:
            ConfigError: if they are not.
        """
        goals, num = self.goals(dataset, networks), len(networks)
        goals = goals if goals.is_floating_point() else goals.long()
        who = f"goals() of the task {self.kind!r}"
        if goals.is_floating_point():
            if goals.shape != (num, self.out):
                raise ConfigError(
                    f"{who} returned numbers of shape {list(goals.shape)} for {num} networks. Return "
                    f"[{num}, {self.out}]: a row for each network, as long as `out`, which is {self.out}."
                )
            if not bool(goals.isfinite().all()):
                lost = int((~goals.isfinite()).any(1).sum())
                raise ConfigError(
                    f"{who} are not finite for {lost} of {num} networks. Leave these out: see keeps() of a task."
                )
        elif goals.shape != (num,) or not 0 <= int(goals.min()) <= int(goals.max()) < self.out:
            raise ConfigError(
                f"{who} returned whole numbers of shape {list(goals.shape)}, from {int(goals.min())} to "
                f"{int(goals.max())}, for {num} networks. Return [{num}] classes from 0 to {self.out - 1}: `out` is "
                f"the number of classes, {self.out}. Numbers to be predicted are floats."
            )
        answers = self.constant(goals).expand(num, -1)
        judged = self.judged(answers, goals) | self.covered(answers, goals, self.calibrated(answers, goals))
        missing = [score.name for score in self.scores if score.name not in judged]
        if missing:
            raise ConfigError(
                f"the task {self.kind!r} names the score {missing[0]!r}, but judged() gives {', '.join(judged)}. "
                "Set `scores` to those; for classes, scores = CLASS_SCORES."
            )
        return goals


@final
@dataclass(frozen=True, eq=False)
class ReadingProblem(AbstractProblem):
    """Networks with their goals.

    Attributes:
        task: The configuration.
        dataset: The networks.
        goals: By split.
    """

    task: AbstractReading
    dataset: Dataset
    goals: Mapping[str, Tensor]

    def loss(self, model: nn.Module, batch: Batch) -> Float[Tensor, " b"]:
        """Of the model's answers."""
        answers = model(batch.params)
        return self.task.losses(answers, self.goals[batch.split][batch.where].to(answers.device))

    def validate(self, model: nn.Module, batch: Batch, per_pass: int) -> dict[str, float]:
        """Loss and scores."""
        answers = _answers(model, batch.params, per_pass)
        goals = self.goals[batch.split][batch.where].to(answers.device)
        scores = {name: value.double().mean().item() for name, value in self.task.judged(answers, goals).items()}
        # What decides comes first, and no score can take its name.
        found = {"loss": self.task.losses(answers, goals).mean().item()} | {
            n: v for n, v in scores.items() if n != "loss"
        }
        return found | self.task.calibrated(answers, goals)

    def known(self, scores: Mapping[str, float]) -> dict[str, str]:
        """What :meth:`AbstractReading.calibrated` said."""
        some = self.goals["val"][:2]
        names = self.task.calibrated(self.task.constant(some).expand(len(some), -1), some)
        return {name: repr(scores[name]) for name in names if name in scores}

    def methods(self, models: Mapping[str, AbstractFamily]) -> Sequence[Method[Tensor]]:
        """The models, and the answer that looks at no network."""
        rows = [self._model_row(name, family) for name, family in models.items()]
        return [Method("constant", "best answer without looking", False, self._constant), *rows]

    def numbers(self, answer: Answer[Tensor], test: Networks, seed: int) -> dict[str, Any]:
        """Scores and answers, network by network."""
        del seed
        every = self.goals["test"]
        # The networks of a table are evenly spaced over all; goals may depend on the whole split.
        goals = every[spread(len(every), len(test))]
        judged = self.task.judged(answer.value, goals) | self.task.covered(answer.value, goals, answer.detail)
        return {
            "scores": {n: v.double().tolist() for n, v in judged.items()},
            "answers": answer.value.tolist(),
            "goals": goals.tolist(),
            "strata": self.task.strata(test.rows),
        }

    def row(self, method: Method[Any], cells: Mapping[str, dict[str, Any]], weights: np.ndarray) -> dict[str, Any]:
        """Mean scores with intervals."""
        cell = cells[method.name]
        means = {n: mean_interval(np.asarray(v), weights).to_json() for n, v in cell["scores"].items()}
        whole = self.task.together(np.asarray(cell["answers"]), np.asarray(cell["goals"]), cell["strata"], weights)
        return means | whole | {"seconds_per_network": cell["seconds_per_network"], "detail": cell["detail"]}

    def facts(self) -> dict[str, Any]:
        """The networks."""
        return {"architecture": self.dataset.target.kind, "images": self.dataset.images}

    def measured(self) -> Any:
        """Names of the scores; of a task that is not ours, how they are computed."""
        names, own = [score.name for score in self.task.scores], ":" not in self.task.kind
        return [names, "" if own else inspect.getsource(type(self.task))]

    def inputs(self) -> Params:
        """The goals."""
        return dict(self.goals)

    def _constant(self, context: Context) -> Answer[Tensor]:
        answer = self.task.constant(self.goals["train"])
        known = self.task.calibrated(answer.expand(len(self.goals["val"]), -1), self.goals["val"])
        return Answer(answer.expand(len(context.test), -1), 0.0, dict(known))

    def _model_row(self, name: str, family: AbstractFamily) -> Method[Tensor]:
        def answer(context: Context) -> Answer[Tensor]:
            module = context.model(name)
            known = self.task.calibrated(
                _answers(module, self.dataset.splits["val"].params, context.per_pass), self.goals["val"]
            )
            found = timed(lambda: _answers(module, context.test.params, context.per_pass))
            return replace(found, detail=dict(known))

        symmetry = family.model_dump().get("symmetry", "full")
        twin = "" if symmetry == "full" else f", {symmetry.replace('broken', 'symmetry broken')}"
        return Method(name, f"{family.kind}{twin}", False, answer, model=name)


@torch.no_grad()
def _answers(model: nn.Module, params: Params, per_pass: int) -> Float[Tensor, "b o"]:
    starts = range(0, num_networks(params), per_pass)
    return torch.cat([model(select(params, slice(at, at + per_pass))) for at in starts])


def _number(score: Score) -> Any:
    return lambda value: f"{score.factor * value:.{score.digits}f}"
