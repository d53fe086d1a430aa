"""``zoo make`` and ``zoo info`` for every kind of zoo, and verbs that need another kind."""

import numpy as np
import pytest
import torch

from weightspace import recipes
from weightspace.cli import main
from weightspace.run.verbs.zoo_sheet import predictions
from weightspace.zoo import InrZooConfig, SeedZooConfig, load_images, make_zoo

INRS = InrZooConfig.model_validate({"images": "digits", "target": {"widths": (2, 4, 4, 1)}, "num": 40, "steps": 4})
SEEDS = SeedZooConfig.model_validate(
    {"images": "digits", "target": {"kind": "mlp", "widths": (64, 4, 10)}, "num": 10, "epochs": 1, "batch_size": 600}
)


@pytest.fixture(autouse=True)
def _tiny_recipes(monkeypatch):
    monkeypatch.setitem(recipes.ZOOS, "tiny_inrs", lambda: INRS)
    monkeypatch.setitem(recipes.ZOOS, "tiny_seeds", lambda: SEEDS)


def refused(words, capsys, *said):
    """The command ends with code 2 and one message that holds all of ``said``."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    text = " ".join(capsys.readouterr().err.split())
    assert "Traceback" not in text
    assert [part for part in said if part not in text] == []


@pytest.mark.parametrize(("recipe", "score"), [("tiny_inrs", "PSNR"), ("tiny_seeds", "Accuracy (%)")])
def test_a_zoo_is_made_and_shown_with_its_own_score(recipe, score, tmp_path, capsys):
    assert main(["zoo", "make", recipe, "--out", str(tmp_path / "zoo")]) == 0
    made = capsys.readouterr().out
    assert score in made
    assert main(["zoo", "info", str(tmp_path / "zoo")]) == 0
    assert capsys.readouterr().out in made


def test_what_cannot_be_made_is_refused_and_leaves_nothing(tmp_path, capsys):
    out = tmp_path / "deep" / "zoo"
    refused(["zoo", "make", "tiny_inrs", "--out", out, "--num", "1501"], capsys, "1500 networks", "--num 1500")
    refused(["zoo", "make", "tiny_inrs", "--out", out, "--num", "0"], capsys, "--num")
    refused(["zoo", "make", "inr_digit", "--out", out], capsys, "Did you mean 'inr_digits'?")
    refused(["zoo", "make", "inr_mnist", "--out", out], capsys, "--data DIR")
    refused(["zoo", "make", "cnn_cifar10_relu", "--out", out, "--data", tmp_path], capsys, "train.parquet", "--data")
    assert not out.parent.exists()


def test_verbs_for_classifiers_refuse_a_zoo_of_images(tmp_path, capsys):
    zoo = tmp_path / "zoo"
    assert main(["zoo", "make", "tiny_inrs", "--out", str(zoo)]) == 0
    said = ("of the kind 'inr' (siren)", "weightspace zoo make digits_mlp_tanh")
    refused(["finetune", zoo, "--out", tmp_path / "tuned"], capsys, *said)
    said = ("(siren) are images, not classifiers", "weightspace zoo make digits_mlp_tanh")
    refused(["train", "amortize_digits", "--out", tmp_path / "run", "--zoo.path", zoo], capsys, *said)
    refused(["zoo", "make", "tiny_seeds", "--out", zoo], capsys, "holds a zoo made from something else")


@pytest.mark.parametrize("recipe", ["tiny_inrs", "tiny_seeds"])
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_sheet_shows_what_networks_compute(recipe, ending, tmp_path, capsys):
    zoo, out = tmp_path / "zoo", tmp_path / f"sheet.{ending}"
    assert main(["zoo", "make", recipe, "--out", str(zoo)]) == 0
    assert main(["zoo", "show", str(zoo), "--num", "7", "--out", str(out)]) == 0
    assert f"7 networks of {zoo}, drawn: {out}" in capsys.readouterr().out
    first = out.read_bytes()
    assert len(first) > 5000
    refused(["zoo", "show", zoo, "--out", out], capsys, "is there already", "--overwrite")
    assert main(["zoo", "show", str(zoo), "--num", "7", "--out", str(out), "--overwrite"]) == 0
    assert out.read_bytes() == first
    refused(["zoo", "show", zoo, "--out", tmp_path / "sheet.txt"], capsys, "no .svg or .png file")


def test_the_sheet_of_classifiers_tells_what_each_predicts(tmp_path):
    zoo = make_zoo(SEEDS, tmp_path / "zoo")
    rows = np.array([3, 0, 9])
    predicted, right = predictions(zoo, rows)
    images = load_images("digits")
    assert (right[1:] >= right[:-1]).all()
    some = torch.linspace(0, len(images.test_y) - 1, len(right)).round().long()
    some = some[images.test_y[some].argsort(stable=True)]
    for row, answers in zip(rows.tolist(), predicted, strict=True):
        module = SEEDS.target.build()
        module.load_state_dict({name: value[0] for name, value in zoo.load(np.array([row])).items()})
        assert torch.equal(module(images.test_x[some]).argmax(-1), answers)
