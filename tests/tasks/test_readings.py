"""Reading tasks of somebody else's: what goes wrong in them is said before a training begins."""

from typing import Any, ClassVar

import pytest
import torch
from tiny_runs import tiny_run
from torch import Tensor

from weightspace import ConfigError
from weightspace.nn import AbstractFamily, AbstractFunctional, Architecture, FlatFamily
from weightspace.run import evaluate, train
from weightspace.tasks import CLASS_SCORES, AbstractReading, Dataset, Networks, Score

WHERE = f"{__name__}:Reading"


class Reading(AbstractReading):
    """Goals as the field says."""

    kind: Any = WHERE
    goal: str = "right"
    out: ClassVar[int] = 2

    def goals(self, dataset: Dataset, networks: Networks) -> Tensor:
        del dataset
        num = len(networks)
        return {
            "right": torch.randn(num, 2),
            "classes": torch.arange(num) % 2,
            "flat": torch.randn(num),
            "wide": torch.randn(num, 3),
            "nan": torch.full((num, 2), torch.nan),
            "class 2": torch.arange(num) % 3,
            "columns": torch.zeros(num, 2, dtype=torch.long),
        }[self.goal]


class FunctionalsOnly(AbstractFamily):
    """A family without operators."""

    kind: Any = f"{__name__}:FunctionalsOnly"

    def functional(self, architecture: Architecture, out: int) -> AbstractFunctional:
        return FlatFamily(width=2).functional(architecture, out)


class Classes(Reading):
    """Goals are classes."""

    kind: Any = f"{__name__}:Classes"
    goal: str = "classes"
    scores: ClassVar[tuple[Score, ...]] = CLASS_SCORES


class Copied(AbstractReading):
    """Copied from another task, with its kind."""

    kind: Any = "classify_inr"

    def goals(self, dataset: Dataset, networks: Networks) -> Tensor:
        raise NotImplementedError


@pytest.mark.parametrize("task", [Reading(), Classes()], ids=lambda task: task.goal)
def test_numbers_and_classes_are_read_with_a_method_and_two_attributes(task, zoo_dir, tmp_path):
    train(tiny_run(zoo_dir, steps=1, task=task, model=FunctionalsOnly()), tmp_path)
    results = evaluate(tmp_path)
    first = task.scores[0].name
    assert all(row[first]["mean"] >= 0 for row in results["rows"])
    assert "of the best answer that looks at no network" in task.headline(results)


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("flat", r"shape \[32\] for 32 networks\. Return \[32, 2\]"),
        ("wide", r"shape \[32, 3\] for 32 networks\. Return \[32, 2\].*`out`, which is 2"),
        ("nan", r"not finite for 32 of 32 networks.*keeps\(\)"),
        ("class 2", r"from 0 to 2, for 32 networks\. Return \[32\] classes from 0 to 1"),
        ("classes", r"names the score 'error', but judged\(\) gives accuracy, cross_entropy.*CLASS_SCORES"),
        ("columns", r"whole numbers of shape \[32, 2\]"),
    ],
)
def test_other_goals_are_refused_and_nothing_is_left(goal, said, zoo_dir, tmp_path):
    with pytest.raises(ConfigError, match=f"the task '{WHERE}' .*{said}"):
        train(tiny_run(zoo_dir, task=Reading(goal=goal), model=FunctionalsOnly()), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_kind_that_would_not_bring_the_task_back_is_refused(zoo_dir, tmp_path):
    lost = Reading.model_construct(kind=f"{__name__}:Readings")
    for task, said in ((lost, f"Did you mean '{WHERE}'"), (Copied(), rf"task {__name__}:Copied says that its kind is")):
        with pytest.raises(ConfigError, match=said):
            train(tiny_run(zoo_dir, task=task, model=FunctionalsOnly()), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_family_without_operators_is_refused_where_networks_are_changed(zoo_dir, tmp_path):
    with pytest.raises(ConfigError, match=r"FunctionalsOnly' reads networks and changes none.*--model\.kind scale"):
        train(tiny_run(zoo_dir, model=FunctionalsOnly()), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
