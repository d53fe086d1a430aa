"""What every task offers, so that training, evaluation and reports need to know none of them.

A *task* is a configuration: what a metanetwork is trained for. Opened on a dataset it becomes a *problem*: batches have
a loss, models a score, and the results table its rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .._kinds import Kinded
from .._types import Params, Progress
from ..nn import AbstractFamily, Architecture
from ..zoo import Target
from ._dataset import Dataset, Networks, Rows
from ._judge import Judge
from ._methods import Answer, Method
from ._table import Table


@final
@dataclass(frozen=True)
class Batch:
    """Networks of one training step, or of a validation.

    Attributes:
        params: Stacked, on the model's device.
        split: Where they come from.
        where: Their places in the split.
        seed: Of the run.
        step: Of the training; what a task draws is a function of seed and step.
    """

    params: Params
    split: str
    where: Int[Tensor, " b"]
    seed: int = 0
    step: int = 0

    def generator(self, stream: int = 2) -> torch.Generator:
        """Random numbers of this step; streams 0 and 1 are the run's own."""
        return step_generator(self.seed, stream, self.step)


def step_generator(seed: int, stream: int, index: int) -> torch.Generator:
    """Random numbers as a function of (seed, stream, index) alone: resuming needs no memory of the draws."""
    mixed = (seed * 1_000_003 + stream) * 1_000_003 + index
    return torch.Generator().manual_seed(mixed % (1 << 63))


class AbstractProblem(ABC):
    """A task on the networks of one zoo.

    Attributes:
        dataset: The networks.
    """

    dataset: Dataset

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Float[Tensor, " b"]:
        """What training minimizes, for each network of the batch."""

    @abstractmethod
    def validate(self, model: nn.Module, batch: Batch, per_pass: int) -> dict[str, float]:
        """Scores of a model in eval mode; the first decides which weights are kept, and lower is better."""

    def known(self, scores: Mapping[str, float]) -> dict[str, str]:
        """What a checkpoint says beside the task, from the scores of its validation; plain text by name."""
        del scores
        return {}

    @abstractmethod
    def methods(self, models: Mapping[str, AbstractFamily]) -> Sequence[Method[Any]]:
        """The rows of the table, the run's models among them, in order."""

    @abstractmethod
    def numbers(self, answer: Answer[Any], test: Networks, seed: int) -> dict[str, Any]:
        """Everything measured on a method's answer, as plain data: the row's file."""

    @abstractmethod
    def row(self, method: Method[Any], cells: Mapping[str, dict[str, Any]], weights: np.ndarray) -> dict[str, Any]:
        """The row of ``results.json`` from the numbers of all methods that are there.

        Args:
            method: Whose row it is; it is among the ``cells``.
            cells: Numbers by method.
            weights: Resamples of the test networks, for intervals.
        """

    def facts(self) -> dict[str, Any]:
        """What ``results.json`` says of the task beside its rows."""
        return {}

    def measured(self) -> Any:
        """Constants that the numbers of every row follow from, as plain data."""
        return None

    def inputs(self) -> Params:
        """Tensors beside the networks that the numbers of the table follow from."""
        return {}


class AbstractTask(Kinded, ABC):
    """What a metanetwork is trained for; told from others by its ``kind``, the name of its module in ``tasks``."""

    kinds: ClassVar[str] = "weightspace.tasks"
    noun: ClassVar[str] = "task"
    later: ClassVar[frozenset[str]] = frozenset()
    """Entries that may change once a model is trained: they matter for the table only."""
    hint: ClassVar[str] = ""
    """What to change, beside the size of the zoo, if too few networks take part."""

    @abstractmethod
    def open(
        self, dataset: Dataset, *, data_dir: str | Path | None = None, progress: Progress | None = None
    ) -> AbstractProblem:
        """The task on a dataset.

        Raises:
            ConfigError: if the networks cannot be used for it, or images are missing.
        """

    @abstractmethod
    def model(self, family: AbstractFamily, architecture: Architecture) -> nn.Module:
        """An untrained model of a family for this task."""

    def keeps(self, rows: Rows) -> Bool[np.ndarray, " b"]:
        """Which networks of a zoo take part."""
        return np.ones(len(rows["id"]), bool)

    def about(self, dataset: Dataset) -> dict[str, str]:
        """What a checkpoint says of the task in plain words."""
        return {"images": dataset.images}

    def judge(self, target: Target, about: Mapping[str, str], data_dir: str | Path | None = None) -> Judge | None:
        """How networks that a model of this task changed are judged one by one; ``None`` if they are not.

        Args:
            target: Their architecture.
            about: What the checkpoint says, see :meth:`about`.
            data_dir: Folder of the data that judging reads.

        Raises:
            ConfigError: if that data was named, and cannot be read.
        """
        del target, about, data_dir
        return None

    @classmethod
    @abstractmethod
    def title(cls, results: Mapping[str, Any]) -> str:
        """Of the report."""

    @classmethod
    @abstractmethod
    def headline(cls, results: Mapping[str, Any]) -> str:
        """One honest sentence about the numbers."""

    @classmethod
    @abstractmethod
    def explained(cls, results: Mapping[str, Any]) -> str:
        """What stands between headline and tables: what was measured, and how."""

    @classmethod
    @abstractmethod
    def tables(cls, results: Mapping[str, Any]) -> list[Table]:
        """The tables of the report."""

    @classmethod
    def figures(cls, results: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
        """By name: title, caption and SVG text of figures beside the curves of training."""
        del results
        return {}

    @classmethod
    def described(cls, results: Mapping[str, Any]) -> dict[str, str]:
        """What was run, as name and value, for the report."""
        del results
        return {}
