"""INRs that are to be edited: the loss of an operator, and the rows of the table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..._errors import ConfigError
from ..._types import Params, Progress
from ...nn import AbstractFamily
from ...zoo import NATIVE, SirenTarget, load_images
from .._dataset import Dataset, Networks
from .._methods import Answer, Context, Method, timed
from .._stacks import in_passes, num_networks, select, spread
from .._task import AbstractProblem, Batch
from ..bootstrap import mean_interval
from ._figure import strip
from ._refit import refitted
from .edits import Images, edited

if TYPE_CHECKING:
    from ._task import EditInr

TUNING = 16
"""Validation networks on which a learning rate is chosen."""

SHOWN = 8
"""Test networks whose pictures are kept."""

TWINS = {"broken": "symmetry-broken twin", "permutations": "permutation-only twin"}


@final
@dataclass(frozen=True, eq=False)
class EditProblem(AbstractProblem):
    """INRs of one zoo, and the images that they are to show.

    Attributes:
        task: The configuration.
        dataset: The networks.
        target: Their architecture.
        goals: Edited images by split, in the order of its networks.
    """

    task: "EditInr"
    dataset: Dataset
    target: SirenTarget
    goals: Mapping[str, Tensor]

    def loss(self, model: nn.Module, batch: Batch) -> Float[Tensor, " b"]:
        """Squared error of what the new networks show, all pixels."""
        return self.errors(self.shown(model(batch.params)), self.goals[batch.split][batch.where])

    def validate(self, model: nn.Module, batch: Batch, per_pass: int) -> dict[str, float]:
        """The same on validation networks."""
        shown = self.shown(in_passes(model, batch.params, per_pass))
        return {"loss": self.errors(shown, self.goals[batch.split][batch.where]).double().mean().item()}

    def shown(self, params: Params) -> Images:
        """The images that networks are."""
        return self.target.pictures(params, self.goals["train"].shape[-1])

    def errors(self, shown: Images, goals: Images) -> Float[Tensor, " b"]:
        """By network, the mean squared difference."""
        return (shown - goals.to(shown.device)).square().mean((1, 2, 3))

    def methods(self, models: Mapping[str, AbstractFamily]) -> Sequence[Method[Images]]:
        """The networks as they are, operators, edited pixels, the mean goal, and fits to the goal."""
        ours, *twins = models
        return [
            Method("input", "networks as they are", False, self._input),
            self._row(ours, "operator (ours)"),
            *(self._row(name, TWINS.get(name, f"{name} twin")) for name in twins),
            Method("pixels", "the edit of what the network shows, as pixels", False, self._pixels),
            Method("constant", "mean edited image, whatever the network", False, self._constant),
            *(self._fit_row(steps) for steps in self.task.refit_steps),
        ]

    def _row(self, name: str, label: str) -> Method[Images]:
        return Method(name, label, False, partial(self._operator, name=name), name)

    def _fit_row(self, steps: int) -> Method[Images]:
        rates = {"learning_rates": list(self.task.refit_learning_rates)}
        answer = partial(self._fit, steps=steps)
        return Method(f"adam-{steps}", f"Adam, {steps} steps to the edited image", True, answer, settings=rates)

    def numbers(self, answer: Answer[Images], test: Networks, seed: int) -> dict[str, Any]:
        """Errors of all networks, and pictures of some."""
        del seed
        goals = self._goals(test)
        some = spread(len(test), min(SHOWN, len(test)))
        return {
            "error": self.errors(answer.value, goals).double().tolist(),
            "shown": strip(answer.value[some]),
            "goal": strip(goals[some]),
        }

    def row(self, method: Method[Any], cells: Mapping[str, dict[str, Any]], weights: np.ndarray) -> dict[str, Any]:
        """Mean error with its interval, and the pictures."""
        cell = cells[method.name]
        kept = {name: cell[name] for name in ("shown", "goal", "seconds_per_network", "detail")}
        return kept | {"error": mean_interval(np.asarray(cell["error"]), weights).to_json()}

    def facts(self) -> dict[str, Any]:
        """The images and the edit."""
        return {"architecture": self.dataset.target.kind, "images": self.dataset.images, "edit": self.task.edit}

    def measured(self) -> Any:
        """Sizes of samples."""
        return [TUNING, SHOWN]

    def inputs(self) -> Params:
        """The goals."""
        return dict(self.goals)

    def _goals(self, test: Networks) -> Images:
        every = self.goals["test"]
        # The networks of a table are evenly spaced over all.
        return every[spread(len(every), len(test))]

    def _input(self, context: Context) -> Answer[Images]:
        return Answer(self.shown(context.test.params), 0.0)

    def _operator(self, context: Context, name: str) -> Answer[Images]:
        module = context.model(name)
        new = timed(lambda: in_passes(module, context.test.params, context.per_pass))
        return Answer(self.shown(new.value), new.seconds)

    def _pixels(self, context: Context) -> Answer[Images]:
        return timed(lambda: edited(self.task.edit, self.shown(context.test.params)))

    def _constant(self, context: Context) -> Answer[Images]:
        return Answer(self.goals["train"].mean(0).expand(len(context.test), -1, -1, -1), 0.0)

    def _fit(self, context: Context, steps: int) -> Answer[Images]:
        val = self.dataset.splits["val"].params
        some = spread(num_networks(val), min(TUNING, num_networks(val)))
        tried = {
            rate: self.errors(
                self.shown(refitted(select(val, some), self.goals["val"][some], self.target, steps, rate)),
                self.goals["val"][some],
            ).mean()
            for rate in self.task.refit_learning_rates
        }
        rate = min(tried, key=lambda one: float(tried[one]))
        new = timed(lambda: refitted(context.test.params, self._goals(context.test), self.target, steps, rate))
        return Answer(self.shown(new.value), new.seconds, {"learning_rate": rate})


def open_problem(
    task: "EditInr", dataset: Dataset, data_dir: str | Path | None, progress: Progress | None
) -> EditProblem:
    """See :meth:`EditInr.open`."""
    target = dataset.target
    if not isinstance(target, SirenTarget):
        raise ConfigError(
            f"the networks of this zoo ({target.kind}) are no images: there is nothing to edit. Give a zoo of INRs, "
            "e.g. weightspace zoo make inr_digits --out DIR"
        )
    if any("image" not in networks.rows for networks in dataset.splits.values()):
        raise ConfigError(
            "the networks of this zoo do not say which image of a split they were fitted to (imported ones do not), so "
            "there is no edited image. Give a zoo made here, e.g. weightspace zoo make inr_mnist --out DIR"
        )
    images = load_images(dataset.images, data_dir, progress, full_size=True, colour=target.colour)
    side = NATIVE[dataset.images][0]
    of = {"train": images.train_x, "val": images.val_x, "test": images.test_x}
    goals = {}
    for split, networks in dataset.splits.items():
        pictures = of[split][torch.as_tensor(networks.rows["image"]).long()].add(1).div(2)
        goals[split] = edited(task.edit, pictures.view(len(pictures), target.widths[-1], side, side))
    return EditProblem(task, dataset, target, goals)
