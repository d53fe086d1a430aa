"""The Small CNN Zoo: kernels are turned, scores and splits survive, one activation a zoo; what is wrong is named."""

import csv
import gzip
import random

import numpy as np
import pytest
import torch
from collections_as_published import EPOCHS, SCORES, small_cnn_zoo, state, tf_cnn, write_csv

from weightspace import ConfigError, SpecMismatch
from weightspace.zoo import CNNTarget, ImportedConfig, Zoo, format_of, import_zoo, open_collection

MODELS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve models, four with tanh; read only."""
    return small_cnn_zoo(tmp_path_factory.mktemp("cnns") / "cifar10", MODELS)


def imported(folder, out, **options) -> Zoo:
    name, place = format_of(folder)
    assert name == "small_cnn_zoo"
    return import_zoo(open_collection(place, name, options), out)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_network_computes_what_its_row_does_in_the_layout_of_tf(activation, folder, tmp_path):
    before = state(folder)
    zoo = imported(folder, tmp_path / "zoo", activation=activation)
    assert state(folder) == before
    target = CNNTarget(side=32, channels=3, num_classes=4, activation=activation)
    assert zoo.config.target == target
    image = np.random.default_rng(0).uniform(-1, 1, (32, 32, 1))
    outputs = target.forward(zoo.load(), torch.from_numpy(image.reshape(1, -1)).float())[:, 0]
    weights = np.load(folder / "weights.npy")
    for row, output in zip(zoo.rows["zoo_row"], outputs, strict=True):
        want = tf_cnn(weights[row], image, activation)
        np.testing.assert_allclose(output.numpy(), want, rtol=1e-6, atol=1e-6 * np.abs(want).max() * 10)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-2


def test_the_last_step_is_taken_unless_another_is_named(folder, tmp_path):
    zoo = imported(folder, tmp_path / "zoo", activation="relu")
    assert set(zoo.rows["epoch"]) == {86}
    assert zoo.rows["zoo_row"].tolist() == [3 * model + 2 for model in range(MODELS) if model % 3]
    other = imported(folder, tmp_path / "other", activation="relu", step=40)
    assert set(other.rows["epoch"]) == {40}
    assert other.rows["zoo_row"].tolist() == [3 * model + 1 for model in range(MODELS) if model % 3]
    assert (other.rows["split"] == zoo.rows["split"]).all()
    with pytest.raises(ConfigError, match=r"no networks of step 5\. Choose --step of 0, 40, 86"):
        imported(folder, tmp_path / "more", activation="relu", step=5)


def test_scores_and_settings_are_columns(folder, tmp_path):
    zoo = imported(folder, tmp_path / "zoo", activation="tanh")
    lines = gzip.decompress((folder / "metrics.csv.gz").read_bytes()).decode().splitlines()
    rows = list(csv.DictReader(lines))
    for name in SCORES:
        assert zoo.rows[name].tolist() == [float(rows[row][name]) for row in zoo.rows["zoo_row"]]
    assert len(set(zoo.rows["test_accuracy"])) == 4
    assert set(zoo.rows["config.learning_rate"]) == {0.01}
    assert "modeldir" not in zoo.rows
    assert isinstance(zoo.config, ImportedConfig)
    assert (zoo.config.images, zoo.config.checkpoints) == ("cifar10", (86,))


def test_two_activations_need_a_choice(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"networks with relu and with tanh.*Add --activation relu"):
        imported(folder, tmp_path / "zoo")
    with pytest.raises(ConfigError, match=r"has no 'sin' networks\. Choose --activation relu or tanh"):
        imported(folder, tmp_path / "zoo", activation="sin")
    assert not (tmp_path / "zoo").exists()


@pytest.mark.parametrize("spurious", [True, False])
def test_a_released_order_gives_the_published_splits(spurious, folder, tmp_path):
    order = list(range(MODELS * len(EPOCHS)))
    random.Random(3).shuffle(order)
    lines = [0, *order] if spurious else order
    (tmp_path / "split.csv").write_text("".join(f"{row}\n" for row in lines))
    last = [row for row in order if row % 3 == 2]
    half = list(range(MODELS // 2))
    random.Random(0).shuffle(half)
    want = dict.fromkeys(last[MODELS // 2 :], "test")
    want |= {last[place]: "train" if rank < int(0.8 * MODELS / 2) else "val" for rank, place in enumerate(half)}
    for activation in ("relu", "tanh"):
        zoo = imported(folder, tmp_path / activation, activation=activation, split_file=tmp_path / "split.csv")
        assert zoo.rows["split"].tolist() == [want[row] for row in zoo.rows["zoo_row"].tolist()]


def test_an_order_of_another_collection_is_refused(folder, tmp_path):
    (tmp_path / "split.csv").write_text("0\n0\n1\n2\n")
    with pytest.raises(ConfigError, match=r"lists 3 rows, not each of 0 to 35 once"):
        imported(folder, tmp_path / "zoo", activation="relu", split_file=tmp_path / "split.csv")
    (tmp_path / "split.csv").write_text("index\n1\n")
    with pytest.raises(ConfigError, match=r"is no list of rows"):
        imported(folder, tmp_path / "zoo", activation="relu", split_file=tmp_path / "split.csv")


def cut(folder):
    path = folder / "weights.npy"
    path.write_bytes(path.read_bytes()[:-100])


def fewer(folder):
    np.save(folder / "weights.npy", np.load(folder / "weights.npy")[:-1])


def narrower(folder):
    np.save(folder / "weights.npy", np.load(folder / "weights.npy")[:, :-1])


def not_finite(folder):
    weights = np.load(folder / "weights.npy")
    weights[5, 3] = np.inf
    np.save(folder / "weights.npy", weights)


def packed(folder):
    path = folder / "metrics.csv.gz"
    path.write_bytes(path.read_bytes()[:40])


def no_scores(folder):
    write_csv(folder / "metrics.csv.gz", [["step", "config.activation"], ["0", "relu"]])


def wrong_score(folder):
    rows = [["config.activation", "step", *SCORES]] + [["relu", "86", "0.5", "nan", "1", "1"]] * 36
    rows[8] = ["relu", "86", "nan", "1", "1", "1"]
    write_csv(folder / "metrics.csv.gz", rows)


def shuffled(folder):
    lines = (folder / "layout.csv").read_text().splitlines()
    (folder / "layout.csv").write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]))


def missing(folder):
    (folder / "layout.csv").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut, r"weights\.npy cannot be read.*cut short"),
        (fewer, r"weights\.npy has 35 networks, metrics\.csv\.gz beside it 36 rows"),
        (narrower, r"weights\.npy holds numbers of type float32 with shape \[36, \d+\], its layout says"),
        (not_finite, r"weights\.npy: row 5 holds values that are not finite"),
        (packed, r"metrics\.csv\.gz cannot be read"),
        (no_scores, r"metrics\.csv\.gz has no column 'test_accuracy'"),
        (wrong_score, r"metrics\.csv\.gz: row 7 has the test_accuracy nan, which is no fraction"),
        (shuffled, r"layout\.csv is no layout of the Small CNN Zoo"),
        (missing, r"layout\.csv is missing"),
    ],
)
def test_a_bad_file_is_named_and_leaves_nothing(spoil, said, tmp_path):
    folder = small_cnn_zoo(tmp_path / "cifar10", MODELS)
    spoil(folder)
    before = state(folder)
    with pytest.raises((ConfigError, SpecMismatch), match=said):
        imported(folder, tmp_path / "deep" / "zoo", activation="relu")
    assert state(folder) == before
    assert not (tmp_path / "deep").exists()
