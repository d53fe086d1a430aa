"""Every task keeps what the families that are trained for it rely on; see task_suite.py."""

import importlib
import sys

import pytest
from page_code import written
from task_suite import ReadingSuite, TaskSuite
from tiny_runs import tiny_task

from weightspace.tasks import ClassifyInr, EditInr, PredictAccuracy


class TestImprove(TaskSuite):
    task = tiny_task()
    zoo = "zoo_dir"
    unusable = "inr_dir"
    refusal = "are images, not classifiers.*amortize_digits"


class TestClassifyInr(ReadingSuite):
    task = ClassifyInr()
    zoo = "inr_dir"
    unusable = "zoo_dir"
    refusal = r"\(mlp\) have no label.*zoo make inr_digits"


class TestEditInr(TaskSuite):
    task = EditInr(refit_steps=(3,), refit_learning_rates=(1e-3,))
    zoo = "inr_dir"
    unusable = "zoo_dir"
    refusal = r"\(mlp\) are no images.*zoo make inr_digits"


class TestPredictAccuracy(ReadingSuite):
    task = PredictAccuracy()
    zoo = "zoo_dir"
    unusable = "inr_dir"
    refusal = r"\(siren\) have no test_accuracy.*zoo make digits_mlp_tanh"


@pytest.fixture(scope="class")
def own_task(tmp_path_factory):
    """The task of docs/adding-a-task.md, in a module of somebody else's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(written(tmp_path_factory.mktemp("own"))))
        yield importlib.import_module("mean_output").MeanOutput()
    sys.modules.pop("mean_output", None)


class TestOwnTask(ReadingSuite):
    """It reads every architecture: here SIRENs, on the page MLPs."""

    zoo = "inr_dir"

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _made(cls, own_task):
        cls.task = own_task
