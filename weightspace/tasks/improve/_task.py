"""The task: its configuration, and what its reports say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import numpy as np
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from ..._errors import ConfigError
from ..._types import Params, Progress
from ...nn import AbstractFamily, AbstractOperator, Architecture
from ...zoo import Target, images_of
from .._dataset import Dataset, Rows
from .._judge import Judge
from .._table import Table, percent
from .._task import AbstractTask
from ._config import CrossEntropy, ImproveTable, ObjectiveConfig
from ._figures import figures
from ._headline import headline
from ._problem import ImproveProblem, open_problem
from ._tables import tables
from .metrics import score


@final
class Improve(AbstractTask):
    """Networks that do better, or as well with fewer weights, after one pass of an operator."""

    kind: Literal["improve"] = "improve"
    objective: ObjectiveConfig = CrossEntropy()
    images_per_step: int = Field(default=2000, ge=1, description="Training images per step, shared by its networks.")
    min_val_accuracy: float = Field(
        default=0.0, ge=0, le=1, description="Lowest accuracy on the validation images of a network that takes part."
    )
    table: ImproveTable = ImproveTable()

    later: ClassVar[frozenset[str]] = frozenset({"table"})
    hint: ClassVar[str] = " or lower --task.min-val-accuracy"

    def keeps(self, rows: Rows) -> Bool[np.ndarray, " b"]:
        """Networks that are accurate enough; of zoos without accuracies, all."""
        return rows["val_accuracy"] >= self.min_val_accuracy if "val_accuracy" in rows else super().keeps(rows)

    def open(
        self, dataset: Dataset, *, data_dir: str | Path | None = None, progress: Progress | None = None
    ) -> ImproveProblem:
        """The task on classifiers, with the images that they were trained on.

        Raises:
            ConfigError: if the networks are no classifiers, or the images cannot be read.
        """
        return open_problem(self, dataset, data_dir, progress)

    def model(self, family: AbstractFamily, architecture: Architecture) -> AbstractOperator:
        """An untrained operator."""
        return family.operator(architecture)

    def about(self, dataset: Dataset) -> dict[str, str]:
        """Activation, images and objective."""
        return {
            "activation": dataset.target.nonlinearity,
            "images": dataset.images,
            "objective": self.objective.model_dump_json(),
        }

    def judge(self, target: Target, about: Mapping[str, str], data_dir: str | Path | None = None) -> Judge | None:
        """By accuracy on the validation half of the images of the training, where they can be read."""
        if "images" not in about:
            return None
        try:
            images = images_of(target, about["images"], data_dir)
        except ConfigError:
            # Without its images an operator still works, and nothing is measured.
            if data_dir is not None:
                raise
            return None

        def accuracies(old: Params, new: Params) -> tuple[Tensor, Tensor]:
            before, after = (score(one, images.val_x, images.val_y, target.forward).accuracy for one in (old, new))
            return before, after

        return Judge("accuracy", "Accuracy on the validation half of the test images", accuracies, percent)

    @classmethod
    def title(cls, results: Mapping[str, Any]) -> str:
        """Of the report."""
        return f"Improving networks in one forward pass: {results.get('recipe', 'a run')}"

    @classmethod
    def headline(cls, results: Mapping[str, Any]) -> str:
        """The operator against its inputs, the constant output, and Adam at equal seconds."""
        return headline(results)

    @classmethod
    def explained(cls, results: Mapping[str, Any]) -> str:
        """Objective, networks, and how seconds were taken."""
        counts = results["num_networks"]
        sparsity = f", L1 weight {results['l1']:g}" if results["l1"] else ""
        return (
            f"Objective `{results['objective']}`{sparsity}; {counts['train']} networks to train on, {counts['val']} "
            f"for choices, {counts['test']} unseen ones in the tables. Intervals are 95 % bootstrap over training runs "
            "of networks. Seconds are wall time around the method divided by networks, all of them in one batch, "
            f"{results['threads']} threads; choosing a learning rate is not counted."
        )

    @classmethod
    def tables(cls, results: Mapping[str, Any]) -> list[Table]:
        """What each method achieves, and what it does to the networks."""
        return tables(results)

    @classmethod
    def figures(cls, results: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
        """Accuracies of all methods, and every network before and after."""
        return figures(results)

    @classmethod
    def described(cls, results: Mapping[str, Any]) -> dict[str, str]:
        """The networks and the objective."""
        kind = str(results.get("architecture", "mlp"))
        noun = {"mlp": "MLPs", "cnn": "CNNs", "resnet": "residual networks"}.get(kind, kind)
        return {
            "target networks": f"{results.get('activation', '?')} {noun} on {results.get('images', '?')}",
            "objective": f"{results.get('objective', '?')}, L1 weight {results.get('l1', 0)}",
        }
