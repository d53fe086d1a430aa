"""Training continues after a kill at any step and ends in the same bits; it stops early and refuses to mix runs."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny_run, tiny_task, tiny_zoo

from weightspace import ConfigError, ZooError
from weightspace.files import atomic
from weightspace.files.results import locked
from weightspace.run import from_yaml, record, to_yaml, train
from weightspace.run.config import TrainConfig, ZooRef
from weightspace.run.draws import draw_networks, learning_rate
from weightspace.run.fit import Fit
from weightspace.tasks import Batch, CrossEntropy


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found = {}
    for model in ("", "broken"):
        for name in (record.CHECKPOINT, record.RESUME):
            tensors, _ = atomic.load_tensors(folder / model / name)
            found |= {f"{model}/{name}/{key}": value for key, value in tensors.items()}
    return found


def curves(folder: Path) -> list[dict]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in record.read_metrics(folder)]


@pytest.fixture(scope="module")
def whole(zoo_dir, tmp_path_factory):
    """A run that was never stopped."""
    return train(tiny_run(zoo_dir), tmp_path_factory.mktemp("whole"))


def assert_same_run(folder, whole):
    got, want = weights(folder), weights(whole)
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], want[name]) for name in want)
    assert curves(folder) == curves(whole)


def kill_at(config, folder, model, step, every):
    """Train in a child process that saves every few steps and dies by SIGKILL."""

    def child():
        save = Fit._save

        def now_and_then(fit):
            if fit.state.step % every == 0 or fit.name != model:
                save(fit)

        Fit._save = now_and_then

        def progress(done, _, message):
            if message == f"training {model}" and done == step:
                os.kill(os.getpid(), signal.SIGKILL)

        train(config, folder, progress=progress)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("model", "step", "every"), [("ours", 1, 1), ("ours", 7, 3), ("ours", 6, 100), ("broken", 9, 1)]
)
def test_a_run_killed_at_any_step_ends_in_the_same_bits(zoo_dir, whole, tmp_path, model, step, every):
    config = tiny_run(zoo_dir)
    kill_at(config, tmp_path / "run", model, step, every)
    train(config, tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)


def test_interrupt_finishes_the_step_and_the_same_call_continues(zoo_dir, whole, tmp_path):
    config = tiny_run(zoo_dir)
    before = signal.getsignal(signal.SIGINT)

    def progress(done, _, message):
        if message == "training ours" and done == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path, progress=progress)
    _, metadata = atomic.load_tensors(tmp_path / record.RESUME)
    assert json.loads(metadata["state"])["step"] == 5
    assert signal.getsignal(signal.SIGINT) is before
    train(config, tmp_path)
    assert_same_run(tmp_path, whole)


def test_a_finished_run_is_left_as_it_is(whole, zoo_dir):
    before = weights(whole)
    train(tiny_run(zoo_dir), whole)
    assert all(torch.equal(value, before[name]) for name, value in weights(whole).items())


def test_the_folder_says_what_was_run(whole):
    made = json.loads((whole / "environment.json").read_text())
    assert made["packages"]["torch"] == torch.__version__.split("+")[0] or made["packages"]["torch"]
    assert {"command", "commit", "threads", "python"} <= made.keys()
    assert made["started"].startswith("20")
    assert "layers.0.weight" in (whole / "spec.txt").read_text()
    steps = [(line["model"], line["step"]) for line in curves(whole)]
    assert steps == [(model, step) for model in ("ours", "broken") for step in (0, 4, 8, 9)]


def test_the_saved_weights_are_those_with_the_lowest_validation_loss(whole):
    _, metadata = atomic.load_tensors(whole / record.RESUME)
    state = json.loads(metadata["state"])
    losses = {line["step"]: line["val_loss"] for line in curves(whole) if line["model"] == "ours"}
    assert state["best_loss"] == min(losses.values())
    assert losses[state["best_step"]] == state["best_loss"]


def test_training_stops_when_validation_no_longer_improves(zoo_dir, tmp_path):
    # Too small a learning rate to move a float32 loss: every validation is a miss.
    settings = tiny_run(zoo_dir).train.model_copy(
        update={"steps": 50, "validate_every": 2, "patience": 3, "learning_rate": 1e-20}
    )
    train(tiny_run(zoo_dir, train=settings), tmp_path)
    assert max(line["step"] for line in curves(tmp_path)) == 6


def test_a_folder_of_another_run_is_refused(whole, zoo_dir):
    with pytest.raises(ConfigError, match=r"task\.objective\.l1 is 0\.0 there, 0\.001 here"):
        train(tiny_run(zoo_dir, task=tiny_task(objective=CrossEntropy(l1=1e-3))), whole)


def test_every_process_that_continues_a_run_is_noted(zoo_dir, tmp_path):
    for _ in range(3):
        train(tiny_run(zoo_dir), tmp_path)
    made = json.loads((tmp_path / record.ENVIRONMENT).read_text())
    assert len(made["continued"]) == 2
    assert all(entry.keys() == made.keys() - {"continued"} for entry in made["continued"])


def test_a_folder_without_a_checkpoint_may_be_claimed_by_another_run(zoo_dir, tmp_path):
    (tmp_path / record.CONFIG).write_text(to_yaml(tiny_run(zoo_dir, steps=500)))
    atomic.write_json(tmp_path / record.ENVIRONMENT, {"command": "old"})
    train(tiny_run(zoo_dir), tmp_path)
    assert from_yaml(tmp_path / record.CONFIG) == tiny_run(zoo_dir)
    assert "old" not in (tmp_path / record.ENVIRONMENT).read_text()


def test_a_refused_run_leaves_no_folder(zoo_dir, tmp_path):
    out = tmp_path / "deep" / "run"
    with pytest.raises(ConfigError, match="at least 2 are needed"):
        train(tiny_run(zoo_dir, task=tiny_task(min_val_accuracy=1.0)), out)
    with pytest.raises(ZooError, match="is not a zoo"):
        train(tiny_run(tmp_path / "zoo"), out)
    images = ZooRef(make=tiny_zoo().model_copy(update={"images": "mnist"}))
    with pytest.raises(ConfigError, match="mnist"):
        train(tiny_run(zoo_dir).model_copy(update={"zoo": images}), out, data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_second_writer_is_refused_and_leftovers_of_dead_ones_are_removed(zoo_dir, tmp_path):
    (tmp_path / ".checkpoint.safetensors.tmp").write_text("old")
    (tmp_path / f".a.{2**22 + 1}.tmp").write_text("dead")
    (tmp_path / f".b.{os.getpid()}.tmp").write_text("alive")
    with locked(tmp_path, "training", ConfigError), pytest.raises(ConfigError, match="another process is training in"):
        train(tiny_run(zoo_dir), tmp_path)
    assert len(list(tmp_path.glob(".*.tmp"))) == 3
    train(tiny_run(zoo_dir), tmp_path)
    assert [path.name for path in tmp_path.glob(".*.tmp")] == [f".b.{os.getpid()}.tmp"]


def test_a_loss_that_is_not_finite_is_an_error(zoo_dir, tmp_path):
    settings = tiny_run(zoo_dir).train.model_copy(update={"learning_rate": 1e9, "clip": 1e9})
    with pytest.raises(ConfigError, match=r"loss of 'ours'.*learning-rate"):
        train(tiny_run(zoo_dir, train=settings), tmp_path)
    assert (tmp_path / record.CHECKPOINT).is_file()


def test_a_damaged_state_names_the_file_to_remove(zoo_dir, tmp_path):
    train(tiny_run(zoo_dir), tmp_path)
    path = tmp_path / record.RESUME
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ConfigError, match=r"resume\.safetensors"):
        train(tiny_run(zoo_dir), tmp_path)


def test_every_epoch_shows_every_network_once_and_draws_depend_on_seed_and_step_alone():
    settings = TrainConfig(batch_size=4, seed=3)
    epoch = torch.cat([draw_networks(settings, step, 12) for step in range(3, 6)])
    assert sorted(epoch.tolist()) == list(range(12))

    def drawn(seed: int, step: int) -> list[int]:
        return torch.randperm(30, generator=Batch({}, "train", epoch, seed, step).generator()).tolist()

    assert drawn(3, 7) == drawn(3, 7)
    assert drawn(3, 7) != drawn(3, 8)
    assert drawn(3, 7) != drawn(4, 7)


def test_the_learning_rate_warms_up_and_falls_to_zero():
    settings = TrainConfig(steps=100, warmup=10, learning_rate=1.0)
    rates = [learning_rate(settings, step) for step in range(100)]
    assert rates[0] == 0.1
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[99] < 1e-3
