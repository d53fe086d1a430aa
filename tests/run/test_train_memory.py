"""Training in pieces and rounds computed twice: less memory, the same run."""

import signal
from pathlib import Path

import pytest
import torch
import yaml
from tiny_runs import tiny_run

from weightspace import ConfigError
from weightspace.cli import main
from weightspace.files import atomic
from weightspace.nn import EquivariantOperator, ScaleFamily
from weightspace.run import from_yaml, models, parse_run, record, train
from weightspace.run.config import Run
from weightspace.run.draws import draw_networks
from weightspace.run.fit import Fit, model_folder
from weightspace.run.problem import open_problem
from weightspace.tasks import Batch, Dataset, select


def small(zoo: Path, micro_batch: int | None = None, recompute: bool = False, **settings: object) -> Run:
    """Batches of 5 networks, 5 steps, saved at the end only."""
    run = tiny_run(zoo, steps=5, model=ScaleFamily(width=4, rounds=2, recompute=recompute))
    changes = {"micro_batch": micro_batch, "checkpoint_seconds": 1e9, "validate_every": 2} | settings
    return run.model_copy(update={"train": run.train.model_copy(update=changes)})


def weights(folder: Path, file: str = record.RESUME) -> dict[str, torch.Tensor]:
    found = {}
    for model in ("ours", "broken"):
        tensors, _ = atomic.load_tensors(model_folder(folder, model) / file)
        found |= {f"{model}/{name}": value for name, value in tensors.items() if name != "generator"}
    return found


def same_weights(folder: Path, other: Path) -> bool:
    got, want = weights(folder), weights(other)
    return got.keys() == want.keys() and all(torch.equal(got[name], want[name]) for name in want)


def curve(folder: Path, entry: str) -> list[float]:
    return [line[entry] for line in record.read_metrics(folder) if line[entry] is not None]


@pytest.fixture(scope="module")
def plain(zoo_dir, tmp_path_factory) -> Path:
    """A run without either option."""
    return train(small(zoo_dir), tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def frugal(zoo_dir, tmp_path_factory) -> Path:
    """A run with both."""
    return train(small(zoo_dir, 3, True), tmp_path_factory.mktemp("frugal"))


def test_pieces_of_a_batch_train_as_the_whole_batch_does(zoo_dir, plain, tmp_path):
    train(small(zoo_dir, 3), tmp_path)
    for entry in ("train_loss", "val_loss", "val_accuracy"):
        assert curve(tmp_path, entry) == pytest.approx(curve(plain, entry), rel=1e-5)
    got, want = weights(tmp_path), weights(plain)
    assert got.keys() == want.keys()
    for name in want:
        torch.testing.assert_close(got[name], want[name], rtol=1e-5, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


def test_a_piece_as_large_as_the_batch_or_larger_is_the_batch_to_the_bit(zoo_dir, plain, tmp_path):
    assert small(zoo_dir, 7).train.per_pass == small(zoo_dir, 5).train.per_pass == small(zoo_dir).train.per_pass == 5
    train(small(zoo_dir, 7), tmp_path)
    assert same_weights(tmp_path, plain)


def test_the_logged_loss_is_the_mean_over_the_batch_and_not_over_its_pieces(zoo_dir, tmp_path):
    config = small(zoo_dir, 3, steps=1)
    train(config, tmp_path)
    _, problem = open_problem(config, tmp_path)
    dataset, networks = problem.dataset, problem.dataset.splits["train"]
    torch.manual_seed(config.train.seed)
    untrained = models.build(config.model, config.task, dataset.spec, dataset.target)
    places = draw_networks(config.train, 0, len(networks))
    with torch.no_grad():
        losses = problem.loss(untrained, Batch(select(networks.params, places), "train", places, config.train.seed))
    logged = next(line["train_loss"] for line in record.read_metrics(tmp_path) if line["step"] == 1)
    assert len(losses) == 5
    assert logged == pytest.approx(losses.mean().item(), rel=1e-6)
    # Pieces of 3 and 2 networks that counted the same would be told apart.
    assert logged != pytest.approx((losses[:3].mean() + losses[3:].mean()).item() / 2, rel=1e-4)


def test_no_more_networks_than_asked_for_are_read_together(zoo_dir, tmp_path, monkeypatch):
    seen, forward = [], EquivariantOperator.forward

    def counted(self, params):
        seen.append(len(next(iter(params.values()))))
        return forward(self, params)

    monkeypatch.setattr(EquivariantOperator, "forward", counted)
    train(small(zoo_dir, 2, steps=2), tmp_path)
    # A validation of 3 networks, two batches of 5, and the validation at the end; for the operator and its twin.
    assert seen == 2 * [2, 1, 2, 2, 1, 2, 2, 1, 2, 1]


def test_rounds_computed_again_give_the_same_files_and_keep_less(zoo_dir, tmp_path):
    folders, kept = [], []
    for recompute in (False, True):
        sizes: list[int] = []

        def pack(tensor, sizes=sizes):
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            folders.append(train(small(zoo_dir, recompute=recompute), tmp_path / str(recompute)))
        kept.append(sum(sizes))
    assert kept[1] < 0.6 * kept[0]
    assert same_weights(*folders)
    assert curve(folders[0], "val_loss") == curve(folders[1], "val_loss")
    for model in ("ours", "broken"):
        first, second = (model_folder(folder, model) / record.CHECKPOINT for folder in folders)
        assert first.read_bytes() == second.read_bytes()


def test_an_operator_trained_with_less_memory_is_an_ordinary_one(zoo_dir, frugal):
    loaded = models.load(frugal / record.CHECKPOINT)
    assert loaded.family == small(zoo_dir).model
    assert not any(getattr(part, "checkpoint", False) for part in loaded.module.modules())


def test_both_together_continue_after_an_interrupt_to_the_same_bits(zoo_dir, frugal, tmp_path):
    config = small(zoo_dir, 3, True)

    def progress(done, _, message):
        if message == "training ours" and done == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path, progress=progress)
    train(config, tmp_path)
    assert same_weights(tmp_path, frugal)


def test_a_folder_begun_before_there_were_the_options_continues_to_the_same_bits(zoo_dir, plain, tmp_path):
    def progress(done, _, message):
        if message == "training broken" and done == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(small(zoo_dir), tmp_path, progress=progress)
    path = tmp_path / record.CONFIG
    values = yaml.safe_load(path.read_text())
    del values["train"]["micro_batch"], values["model"]["recompute"]
    path.write_text(yaml.safe_dump(values))
    assert from_yaml(path) == small(zoo_dir)
    train(small(zoo_dir), tmp_path)
    assert same_weights(tmp_path, plain)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"micro_batch": 3}, r"train\.micro_batch is None there, 3 here"),
        ({"recompute": True}, r"model\.recompute is False there, True here"),
    ],
)
def test_a_run_begun_without_an_option_is_not_continued_with_it(zoo_dir, plain, changes, words):
    # Pieces round differently: the folder's promise of the same bits would be broken.
    with pytest.raises(ConfigError, match=words):
        train(small(zoo_dir, **changes), plain)


@pytest.mark.parametrize("name", models.pretrained_names())
def test_files_of_operators_say_nothing_of_the_options(name, tmp_path):
    path = models.find(name)
    loaded = models.load(path)
    again = tmp_path / "again.safetensors"
    dataset = Dataset(loaded.target, loaded.spec, loaded.about["images"], {})
    known = {k: v for k, v in loaded.about.items() if k not in {*loaded.task.about(dataset), "recipe"}}
    models.save(again, loaded.module.state_dict(), loaded.family, loaded.task, dataset, loaded.about["recipe"], known)
    (got, about), (want, before) = atomic.load_tensors(again), atomic.load_tensors(path)
    assert about == before
    assert got.keys() == want.keys()
    assert all(torch.equal(got[key], want[key]) for key in want)


def test_a_loss_that_is_not_finite_is_an_error_in_pieces_too(zoo_dir, tmp_path):
    with pytest.raises(ConfigError, match=r"loss of 'ours'.*learning-rate"):
        train(small(zoo_dir, 3, True, learning_rate=1e9, clip=1e9), tmp_path)
    assert (tmp_path / record.CHECKPOINT).is_file()


def test_one_piece_that_is_not_finite_stops_the_step(zoo_dir, tmp_path):
    config = small(zoo_dir, 2)
    _, problem = open_problem(config, tmp_path)
    networks = problem.dataset.splits["train"]
    networks.params["layers.0.weight"][int(draw_networks(config.train, 0, len(networks))[-1])] = 1e38
    (tmp_path / "broken").mkdir()
    fit = Fit(config, problem, tmp_path, "ours")
    before = {name: value.clone() for name, value in fit.raw.state_dict().items()}
    with pytest.raises(ConfigError, match=r"loss of 'ours'.*at step 0"):
        fit._step()
    assert all(torch.equal(value, before[name]) for name, value in fit.raw.state_dict().items())


def test_less_than_one_network_per_pass_is_refused():
    with pytest.raises(ConfigError, match=r"train\.micro_batch: Input should be greater than or equal to 1"):
        parse_run({"zoo": {"path": "zoo"}, "train": {"micro_batch": 0}})


def test_the_command_lists_the_options_and_refuses_values_out_of_range(tmp_path, capsys):
    assert main(["train", "amortize_digits", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--train.micro-batch" in text
    assert "--model.recompute" in text
    assert main(["train", "amortize_digits", "--out", str(tmp_path / "run"), "--train.micro-batch", "0"]) == 2
    assert "--train.micro-batch is 0, but must be at least 1." in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
