"""What every task owes the families that are trained for it: one class of tests, one short subclass per task.

Each law stands beside what breaks it: a suite that only asked a symmetric metanetwork for the same loss on moved
networks would pass a task whose loss reads no network at all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tiny_runs import tiny_run
from torch import Tensor, nn

from weightspace import ConfigError
from weightspace.files import atomic
from weightspace.gauge import act, sample
from weightspace.nn import AbstractFamily, FlatFamily, MatrixFamily, ScaleFamily
from weightspace.run import Run, evaluate, from_yaml, models, parse_run, record, report, to_yaml, train
from weightspace.tasks import AbstractProblem, AbstractTask, Batch, load_dataset, select
from weightspace.zoo import Zoo

EXACT, BROKEN = 1e-9, 1e-4
"""Errors in float64, relative to the spread between networks."""

SYMMETRIC = (ScaleFamily(width=4, rounds=2), MatrixFamily(width=4, rounds=2))
TRAINED = ScaleFamily(width=2, rounds=1)
CONTROL = FlatFamily(width=16)
FAMILIES = pytest.mark.parametrize("family", SYMMETRIC, ids=lambda family: family.kind)


class TaskSuite:
    """The tests; a subclass says what its task is, and which networks it can use.

    Attributes:
        task: A small configuration.
        zoo: Fixture of a zoo that it can use.
        unusable: Fixture of a zoo that it cannot use, if there is one.
        refusal: What the error says then, as a regular expression.
    """

    task: ClassVar[AbstractTask]
    zoo: ClassVar[str]
    unusable: ClassVar[str | None] = None
    refusal: ClassVar[str] = ""

    @pytest.fixture(scope="class")
    @classmethod
    def zoo_path(cls, request) -> Path:
        return request.getfixturevalue(cls.zoo)

    @pytest.fixture(scope="class")
    @classmethod
    def problem(cls, zoo_path) -> AbstractProblem:
        return cls.task.open(load_dataset(Zoo.open(zoo_path), cls.task.keeps, cls.task.hint))

    @pytest.fixture(scope="class")
    @classmethod
    def run_dir(cls, zoo_path, tmp_path_factory) -> Path:
        """A run that was never stopped, with its table."""
        folder = tmp_path_factory.mktemp("task") / "run"
        train(cls.run(zoo_path), folder)
        evaluate(folder)
        return folder

    @classmethod
    def run(cls, zoo: Path, family: AbstractFamily = TRAINED) -> Run:
        return tiny_run(zoo, steps=4, task=cls.task, model=family)

    def model(self, family: AbstractFamily, problem: AbstractProblem) -> nn.Module:
        torch.manual_seed(0)
        return models.build(family, self.task, problem.dataset.spec, problem.dataset.target)

    @FAMILIES
    def test_a_run_is_read_back_from_its_text(self, family, zoo_path, tmp_path):
        run = self.run(zoo_path, family)
        (tmp_path / "config.yaml").write_text(to_yaml(run))
        assert from_yaml(tmp_path / "config.yaml") == run
        assert type(run.task) is AbstractTask.of(self.task.kind)

    def test_entries_that_do_not_exist_are_refused_by_name(self, zoo_path):
        plain = self.run(zoo_path).model_dump(mode="json")
        plain["task"]["colour"] = 3
        with pytest.raises(ConfigError, match=r"task\.colour: "):
            parse_run(plain)

    @FAMILIES
    def test_the_loss_is_finite_and_reaches_every_learned_number(self, family, problem):
        model = self.model(family, problem)
        loss = problem.loss(model, some(problem, 6))
        assert loss.shape == (6,)
        loss.mean().backward()
        assert loss.isfinite().all()
        for name, value in model.named_parameters():
            assert value.grad is not None, name
            assert value.grad.isfinite().all(), name
            assert value.grad.any(), name

    def test_the_loss_of_a_network_does_not_depend_on_the_others(self, problem):
        problem = doubled(problem)
        model = self.model(SYMMETRIC[0], problem).double()
        together = problem.loss(model, some(problem, 5))
        alone = torch.cat([problem.loss(model, some(problem, 1, start)) for start in range(5)])
        assert (together - alone).abs().max() <= EXACT * spread(together)

    @FAMILIES
    def test_loss_and_scores_stay_where_the_gauge_moves_the_networks(self, family, problem):
        problem = doubled(problem)
        model = self.model(family, problem).double()
        for here, there in zip(*self.judged(model, problem), strict=True):
            assert (here - there).abs().max() <= EXACT * max(spread(here), 1.0)

    def test_they_change_for_a_family_without_symmetry(self, problem):
        problem = doubled(problem)
        (here, *_), (there, *_) = self.judged(self.model(CONTROL, problem).double(), problem)
        assert (here - there).abs().median() > BROKEN * spread(here)

    def judged(self, model: nn.Module, problem: AbstractProblem) -> tuple[list[Tensor], list[Tensor]]:
        """Losses and scores of networks, and of the same in another gauge."""
        batch, spec = some(problem, 6), problem.dataset.spec
        moved = replace(batch, params=act(sample(spec, 0, num=6), batch.params, spec))
        found = []
        for each in (batch, moved):
            with torch.no_grad():
                scores = problem.validate(model, each, 4)
                found.append([problem.loss(model, each), torch.tensor([*scores.values()], dtype=torch.float64)])
        here, there = found
        assert spread(here[0]) > 0
        return here, there

    def test_a_training_that_was_stopped_ends_in_the_same_bits(self, run_dir, zoo_path, tmp_path):
        def stop(done: int, _: int, message: str) -> None:
            if message.startswith("training") and done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(self.run(zoo_path), tmp_path / "run", progress=stop)
        train(self.run(zoo_path), tmp_path / "run")
        for path in sorted(run_dir.rglob("*.safetensors")):
            (want, _), (got, _) = (
                atomic.load_tensors(path),
                atomic.load_tensors(tmp_path / path.relative_to(run_dir.parent)),
            )
            assert want.keys() == got.keys()
            assert all(torch.equal(want[name], got[name]) for name in want), path

    def test_every_row_is_filled_and_the_report_is_written(self, run_dir):
        results = atomic.read_json(run_dir / record.RESULTS)
        assert [row["method"] for row in results["rows"] if row["status"] != "done"] == []
        assert {"ours", "broken", "constant"} <= {row["method"] for row in results["rows"]}
        page = report(run_dir).read_text()
        for said in (self.task.title(results), "config.yaml", "Training"):
            assert said in page
        assert "not run" not in page
        assert self.task.headline(results)

    @FAMILIES
    def test_a_saved_model_is_the_same_model(self, family, problem, tmp_path):
        model = self.model(family, problem).eval()
        models.save(tmp_path / "model", model.state_dict(), family, self.task, problem.dataset, "suite")
        loaded = models.load(tmp_path / "model")
        assert (loaded.family, loaded.target) == (family, problem.dataset.target)
        assert type(loaded.task) is type(self.task)
        params = some(problem, 4).params
        with torch.no_grad():
            want, got = model(params), loaded.module(params)
        for a, b in zip(tensors(want), tensors(got), strict=True):
            torch.testing.assert_close(a, b, rtol=0.0, atol=1e-6 * float(a.abs().max()))  # memory is laid out anew

    def test_networks_that_cannot_be_used_are_refused_and_nothing_is_left(self, request, tmp_path):
        if self.unusable is None:
            assert not self.refusal, "what cannot be used has a zoo that shows it"
            return
        zoo = request.getfixturevalue(self.unusable)
        with pytest.raises(ConfigError, match=self.refusal):
            train(self.run(zoo), tmp_path / "deep" / "run")
        assert list(tmp_path.iterdir()) == []


class ReadingSuite(TaskSuite):
    """What tasks that read something off networks owe besides."""

    def test_goals_are_the_same_in_every_gauge(self, problem):
        dataset, networks = problem.dataset, problem.dataset.splits["train"].choose(torch.arange(6))
        spec = dataset.spec
        moved = replace(networks, params=act(sample(spec, 0, num=6), networks.params, spec))
        here, there = (self.task.goals(dataset, of).double() for of in (networks, moved))
        assert (here - there).abs().max() <= 1e-3 * spread(here)  # in float32, as the zoo has them


def some(problem: AbstractProblem, num: int, start: int = 0) -> Batch:
    """Training networks."""
    where = torch.arange(start, start + num)
    return Batch(select(problem.dataset.splits["train"].params, where), "train", where)


def doubled(value: Any) -> Any:
    """The same in float64, whatever it is made of."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {key: doubled(part) for key, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: doubled(getattr(value, field.name)) for field in fields(value)})
    return value


def spread(values: Tensor) -> float:
    """Largest difference between networks."""
    return float(values.detach().max() - values.detach().min())


def tensors(answer: Any) -> Iterator[Tensor]:
    """Of an operator or a functional."""
    return iter(answer.values()) if isinstance(answer, Mapping) else iter([answer])
