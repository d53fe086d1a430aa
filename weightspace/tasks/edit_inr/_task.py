"""The task: its configuration, and what its reports say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from ..._types import Params, Progress
from ...nn import AbstractFamily, AbstractOperator, Architecture
from ...zoo import NATIVE, SirenTarget, Target
from .._dataset import Dataset
from .._judge import Judge
from .._table import NONE, SECONDS, Column, Table, interval, is_done, needs_data, table_of
from .._task import AbstractTask
from ._figure import png, sheet
from ._problem import EditProblem, open_problem
from .edits import edited


@final
class EditInr(AbstractTask):
    """INRs that show an edited image after one pass of an operator; judged by what they show.

    Source: arXiv:2406.10685, section 6.4 and appendix A.3 (dilated MNIST).
    """

    kind: Literal["edit_inr"] = "edit_inr"
    edit: str = Field(default="dilate", description="dilate, erode, contrast, or package.module:function of images.")
    refit_steps: tuple[PositiveInt, ...] = Field(
        default=(25, 100), description="Steps of Adam of the rows that fit every network to its edited image."
    )
    refit_learning_rates: tuple[float, ...] = Field(
        default=(3e-3, 1e-3, 3e-4), description="Tried on validation networks."
    )

    later: ClassVar[frozenset[str]] = frozenset({"refit_steps", "refit_learning_rates"})

    def open(
        self, dataset: Dataset, *, data_dir: str | Path | None = None, progress: Progress | None = None
    ) -> EditProblem:
        """The task on INRs, with the edited images.

        Raises:
            ConfigError: if the networks are no images, the edit is unknown, or the images cannot be read.
        """
        return open_problem(self, dataset, data_dir, progress)

    def model(self, family: AbstractFamily, architecture: Architecture) -> AbstractOperator:
        """An untrained operator."""
        return family.operator(architecture)

    def about(self, dataset: Dataset) -> dict[str, str]:
        """Images and edit."""
        return {"images": dataset.images, "edit": self.edit}

    def judge(self, target: Target, about: Mapping[str, str], data_dir: str | Path | None = None) -> Judge | None:
        """By the distance from the edit of what the network showed; needs no images."""
        del data_dir
        if not isinstance(target, SirenTarget):
            return None
        side = NATIVE[about["images"]][0]

        def shown(old: Params, new: Params) -> tuple[Tensor, Tensor, Tensor]:
            before, after = (target.pictures(one, side) for one in (old, new))
            return before, edited(self.edit, before), after

        def errors(old: Params, new: Params) -> tuple[Tensor, Tensor]:
            before, goal, after = shown(old, new)
            return (before - goal).square().mean((1, 2, 3)), (after - goal).square().mean((1, 2, 3))

        def picture(old: Params, new: Params, index: int) -> bytes:
            before, _, after = shown(*({name: value[[index]] for name, value in of.items()} for of in (old, new)))
            return png(torch.cat([before, after]))

        title = f"Squared error (1e-2) from the edit ({self.edit}) of what the network showed"
        return Judge("error", title, errors, lambda value: NONE if value is None else _error(value), picture)

    @classmethod
    def title(cls, results: Mapping[str, Any]) -> str:
        """Of the report."""
        return f"Editing images that are networks ({results['edit']}): {results.get('recipe', 'a run')}"

    @classmethod
    def headline(cls, results: Mapping[str, Any]) -> str:
        """The operator against the networks as they are and the mean image."""
        rows = {row["method"]: row for row in results["rows"] if is_done(row)}
        if "ours" not in rows or "input" not in rows:
            return "The operator was not run yet, so there is nothing to compare."
        said = {name: _error(row["error"]["mean"]) for name, row in rows.items()}
        against = [f"{said['input']} of the networks as they are"]
        against += [f"{said['constant']} of the mean edited image"] if "constant" in said else []
        return (
            f"On {results['num_networks']['test']} unseen networks, squared error (1e-2) from the edited image: "
            f"{said['ours']}, against {' and '.join(against)}."
        )

    @classmethod
    def explained(cls, results: Mapping[str, Any]) -> str:
        """Networks, goal and intervals."""
        counts = results["num_networks"]
        return (
            f"Goal: the image that a network was fitted to, edited (`{results['edit']}`); {counts['train']} networks "
            f"to train on, {counts['val']} for choices, {counts['test']} unseen ones in the table. Errors are means "
            "over pixels of intensities in [0, 1]. Intervals are 95 % bootstrap over networks. Seconds are wall time "
            f"divided by networks, {results['threads']} threads."
        )

    @classmethod
    def tables(cls, results: Mapping[str, Any]) -> list[Table]:
        """Errors of every method."""
        columns = [
            Column("error (1e-2)", "mean squared difference from the edited image", interval("error", _error)),
            Column("needs images", "whether the method sees the edited image of each network", needs_data),
            SECONDS,
        ]
        return [table_of("What edited networks show", columns, results["rows"])]

    @classmethod
    def figures(cls, results: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
        """Some networks, as every method leaves them."""
        svg = sheet(results["rows"])
        return {} if svg is None else {"edits": ("Some of the networks", "Goal, and what every method shows.", svg)}

    @classmethod
    def described(cls, results: Mapping[str, Any]) -> dict[str, str]:
        """The networks and the edit."""
        return {"networks edited": f"INRs of {results.get('images', '?')}", "edit": str(results.get("edit", "?"))}


def _error(value: float) -> str:
    return f"{100 * value:.3f}"
