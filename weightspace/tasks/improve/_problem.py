"""Networks that are to be improved: the loss of an operator, and the numbers of the table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..._errors import ConfigError
from ..._types import Params, Progress
from ...nn import AbstractFamily
from ...zoo import Images, images_of
from .._dataset import Dataset, Networks
from .._methods import Answer, Method
from .._stacks import in_passes
from .._task import AbstractProblem, Batch
from ._measure import PRUNED, THRESHOLDS, measure, row_of
from ._rows import FACTOR_NETWORKS, methods
from .calibration import CALIBRATION_IMAGES
from .controls import prune_magnitude
from .metrics import Scores, objective_values, score
from .objective import Objective, objective

if TYPE_CHECKING:
    from ._task import Improve


@final
@dataclass(frozen=True, eq=False)
class ImproveProblem(AbstractProblem):
    """Classifiers of one zoo, their images, and what improving means.

    Attributes:
        task: The configuration.
        dataset: The networks.
        images: What they classify.
    """

    task: "Improve"
    dataset: Dataset
    images: Images

    @property
    def objective(self) -> Objective:
        """What an operator minimizes, by network."""
        kind, l1 = self.task.objective.kind, self.task.objective.l1
        return objective(kind, l1, self.dataset.target.forward, self.dataset.target.trained() if l1 else None)

    def loss(self, model: nn.Module, batch: Batch) -> Float[Tensor, " b"]:
        """The objective on images of this step."""
        device = next(iter(batch.params.values())).device
        images = self.images
        order = torch.randperm(len(images.train_x), generator=batch.generator())
        some = order[: self.task.images_per_step]
        return self.objective(
            model(batch.params), batch.params, images.train_x[some].to(device), images.train_y[some].to(device)
        )

    def validate(self, model: nn.Module, batch: Batch, per_pass: int) -> dict[str, float]:
        """Objective and accuracy on validation images."""
        device = next(iter(batch.params.values())).device
        images, labels = self.images.val_x.to(device), self.images.val_y.to(device)
        outputs = in_passes(model, batch.params, per_pass)
        return {
            "loss": objective_values(self.objective, outputs, batch.params, images, labels).mean().item(),
            "accuracy": score(outputs, images, labels, self.dataset.target.forward).accuracy.mean().item(),
        }

    def methods(self, models: Mapping[str, AbstractFamily]) -> Sequence[Method[Params]]:
        """Inputs, operators, controls, and fine-tuning."""
        return methods(self, models)

    def numbers(self, answer: Answer[Params], test: Networks, seed: int) -> dict[str, Any]:
        """Everything measured on the changed networks."""
        return measure(self, answer, test, seed)

    def row(self, method: Method[Any], cells: Mapping[str, dict[str, Any]], weights: np.ndarray) -> dict[str, Any]:
        """Means with intervals, and differences from the inputs."""
        return row_of(method, cells, weights)

    def facts(self) -> dict[str, Any]:
        """The networks and the objective."""
        return {
            "architecture": self.dataset.target.kind,
            "activation": self.dataset.target.nonlinearity,
            "images": self.images.name,
            "objective": self.task.objective.kind,
            "l1": self.task.objective.l1,
            "min_val_accuracy": self.task.min_val_accuracy,
        }

    def measured(self) -> Any:
        """Thresholds, shares and sizes of samples."""
        return [THRESHOLDS, PRUNED, FACTOR_NETWORKS, CALIBRATION_IMAGES]

    def inputs(self) -> Params:
        """The images and labels."""
        return {name: value for name, value in vars(self.images).items() if isinstance(value, Tensor)}

    def weights(self, params: Params) -> Params:
        """What of the networks can be sparse: running statistics and counts of a batch normalization cannot."""
        return {name: params[name] for name in self.dataset.target.trained()}

    def pruned(self, params: Params, fraction: float) -> Params:
        """The networks with the given fraction of their weights set to zero, the smallest first."""
        return dict(params) | prune_magnitude(self.weights(params), fraction)

    def scores(self, params: Params) -> Scores:
        """Accuracy, loss and predictions on the final half of the test images."""
        return score(params, self.images.test_x, self.images.test_y, self.dataset.target.forward)


def open_problem(
    task: "Improve", dataset: Dataset, data_dir: str | Path | None, progress: Progress | None
) -> ImproveProblem:
    """See :meth:`Improve.open`."""
    if dataset.target.kind == "siren":
        raise ConfigError(
            "the networks of this zoo (siren) are images, not classifiers: there is no accuracy to improve. "
            "Make a zoo of classifiers, weightspace zoo make digits_mlp_tanh --out DIR, take the recipe "
            "amortize_digits, which does, or choose another task."
        )
    if "val_accuracy" not in dataset.splits["train"].rows:
        raise ConfigError(
            f"the networks of this zoo ({dataset.target.kind}) have no accuracies on validation images, by which they "
            "are chosen: it was imported without a column val_accuracy. Train a task that reads networks, or make a "
            "zoo: weightspace zoo make digits_mlp_tanh --out DIR"
        )
    return ImproveProblem(task, dataset, images_of(dataset.target, dataset.images, data_dir, progress))
