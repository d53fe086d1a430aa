"""Convolutional networks through train, evaluate, apply and fine-tune, as MLPs go in all other tests of run/."""

from pathlib import Path

import numpy as np
import pytest
import torch
from image_sets import write_set
from safetensors.torch import load_file, save_file
from tiny_runs import tiny_run

from weightspace.files import atomic
from weightspace.nn import AbstractFamily, FlatFamily, MatrixFamily, ScaleFamily
from weightspace.run import FinetuneConfig, apply, evaluate, finetune_folder, record, report, train
from weightspace.tasks import ClassifyInr, CrossEntropy, Distill, Improve, ImproveTable
from weightspace.zoo import CNNTarget, ResNetTarget, SeedZooConfig, Target, Zoo, load_images, make_zoo

SIDE, CLASSES = 28, 4

CASES: dict[str, tuple[Target, AbstractFamily]] = {
    "cnn": (CNNTarget(side=SIDE, channels=2, num_classes=CLASSES, activation="tanh"), ScaleFamily(width=4, rounds=1)),
    "resnet": (ResNetTarget(side=SIDE, channels=2, num_classes=CLASSES), MatrixFamily(width=4, rounds=1)),
}

OBJECTIVES = {"resnet": Distill(l1=1e-3)}
"""Fewer weights; running statistics are none."""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    """An image set of 40 images, bright in the corner of their class."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    labels = np.arange(40) % CLASSES
    pixels = rng.integers(0, 60, (40, SIDE, SIDE), np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[label // 2 * 14 :, label % 2 * 14 :][:14, :14] += 150
    write_set(folder, "mnist", pixels, labels)
    return folder


@pytest.fixture(scope="module", params=CASES)
def trained(request, data_dir, tmp_path_factory) -> tuple[Target, Path, Path]:
    """Target, zoo and run of each case; twenty networks, since a split needs two."""
    target, family = CASES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    config = {"images": "mnist", "target": target, "num": 20, "epochs": 2, "batch_size": 10, "learning_rate": 1e-2}
    make_zoo(SeedZooConfig.model_validate(config), folder / "zoo", data_dir=data_dir)
    rates = {"sgd_learning_rates": (0.1,), "adam_learning_rates": (1e-2, 1e-3), "tuning_networks": 2}
    table = ImproveTable(sgd_epochs=(1,), adam_epochs=(1,), magnitude=(0.5,), **rates)
    task = Improve(objective=OBJECTIVES.get(request.param, CrossEntropy()), images_per_step=20, table=table)
    train(tiny_run(folder / "zoo", steps=3, model=family, task=task), folder / "run", data_dir=data_dir)
    return target, folder / "zoo", folder / "run"


def test_the_table_is_complete(trained, data_dir):
    target, _, run = trained
    results = evaluate(run, data_dir=data_dir)
    assert (results["architecture"], results["activation"]) == (target.kind, target.nonlinearity)
    assert [row["method"] for row in results["rows"] if row["status"] != "done"] == []
    for row in results["rows"]:
        assert all(np.isfinite(row[key]["mean"]) for key in ("accuracy", "loss", "loss_calibrated", "agreement")), row
    page = report(run).read_text()
    assert "not run" not in page
    noun = {"cnn": "CNNs", "resnet": "residual networks"}[target.kind]
    assert f"{target.nonlinearity} {noun} on mnist" in page


def saved(target: Target, zoo: Path, folder: Path) -> list[Path]:
    """Networks of the zoo as files."""
    networks = Zoo.open(zoo).load(np.arange(3))
    folder.mkdir()
    for index in range(3):
        one = {name: value[index].clone() for name, value in networks.items()}
        save_file(one, folder / f"{index}.safetensors", {"activation": target.nonlinearity})
    return sorted(folder.iterdir())


def test_files_are_changed_by_the_operator(trained, data_dir, tmp_path):
    target, zoo, run = trained
    files = saved(target, zoo, tmp_path / "in")
    rows = apply(run, tmp_path / "in", tmp_path / "out", data_dir=data_dir)
    assert [Path(row.out).name for row in rows] == [path.name for path in files]
    for row, path in zip(rows, files, strict=True):
        old, new = load_file(path), load_file(row.out)
        assert {name: (v.shape, v.dtype) for name, v in new.items()} == {
            name: (v.shape, v.dtype) for name, v in old.items()
        }
        assert row.max_change > 0
        assert all(value.isfinite().all() for value in new.values())
        assert row.before == pytest.approx(accuracy(target, old, data_dir))
        assert row.after == pytest.approx(accuracy(target, new, data_dir))
        # Counts are no weights.
        assert all(torch.equal(new[name], old[name]) for name in old if not old[name].is_floating_point())


def accuracy(target: Target, params: dict[str, torch.Tensor], data_dir: Path) -> float:
    """Of the module itself, on the validation half."""
    images, net = load_images("mnist", data_dir, full_size=True), target.build().eval()
    net.load_state_dict(params)
    with torch.no_grad():
        logits = net(images.val_x.unflatten(1, target.example().shape[1:]))
    return float((logits.argmax(1) == images.val_y).float().mean())


def test_a_zoo_and_its_files_are_fine_tuned_alike(trained, data_dir, tmp_path):
    target, zoo, _ = trained
    settings = FinetuneConfig(epochs=2, learning_rate=3e-3, batch_size=20, images="mnist")
    from_zoo = finetune_folder(zoo, tmp_path / "zoo", settings, data_dir=data_dir)
    assert len(from_zoo) == 20
    assert sum(row.loss_after for row in from_zoo) < sum(row.loss_before for row in from_zoo)
    saved(target, zoo, tmp_path / "in")
    from_files = finetune_folder(tmp_path / "in", tmp_path / "out", settings, data_dir=data_dir)
    for one, other in zip(from_files, from_zoo, strict=False):
        assert one.accuracy_before == other.accuracy_before
        here, there = (load_file(row.out) for row in (one, other))
        for name, value in here.items():
            torch.testing.assert_close(value, there[name], rtol=1e-4, atol=1e-5)
        assert atomic.load_tensors(Path(one.out))[1]["activation"] == target.nonlinearity


@pytest.mark.parametrize(
    "family", [MatrixFamily(width=4, rounds=1), FlatFamily(width=8)], ids=lambda family: family.kind
)
def test_classes_are_read_off_networks_that_are_images(family, inr_dir, tmp_path):
    train(tiny_run(inr_dir, steps=3, task=ClassifyInr(), model=family), tmp_path)
    results = evaluate(tmp_path)
    assert results["architecture"] == "siren"
    rows = {row["method"]: row for row in results["rows"]}
    assert set(rows) == {"constant", "ours", *family.twins()}
    for row in rows.values():
        assert 0 <= row["accuracy"]["mean"] <= 1
        assert row["cross_entropy"]["mean"] > 0
    cell = atomic.read_json(tmp_path / record.CELLS / "ours.json")
    assert np.shape(cell["answers"]) == (results["num_networks"]["test"], 10)
    assert "accuracy (%)" in report(tmp_path).read_text()
