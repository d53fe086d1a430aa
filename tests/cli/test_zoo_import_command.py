"""``zoo import``: the format is guessed and said, zoos are shown and read, refusals are one message with a way on."""

import sys

import numpy as np
import pytest
import torch
from collections_as_published import dws_fmnist, dws_mnist, function, nfn_cifar, save, siren, small_cnn_zoo, write_csv

from weightspace.cli import main
from weightspace.run.verbs.zoo_sheet import rendered
from weightspace.zoo import Zoo

NETS = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))

def by_name():
    return make(), {"input": torch.zeros(2, 3)}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder: somebody's networks with scores, and the module that makes them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "their_nets.py").write_text(NETS)
    rows = [["file", "label"]]
    for seed in range(20):
        torch.manual_seed(seed)
        layers = {"0.weight": torch.randn(5, 3), "0.bias": torch.randn(5)}
        save(layers | {"2.weight": torch.randn(2, 5), "2.bias": torch.randn(2)}, tmp_path / "nets" / f"{seed}.pt")
        rows.append([f"{seed}.pt", str(seed % 3)])
    write_csv(tmp_path / "scores.csv", rows)
    yield tmp_path
    sys.modules.pop("their_nets", None)


def refused(words, capsys, *said):
    """The command ends with code 2 and one message that holds all of ``said``."""
    capsys.readouterr()
    assert main(["zoo", "import", *map(str, words)]) == 2
    text = " ".join(capsys.readouterr().err.split())
    assert text.count("error: ") == 1
    assert "Traceback" not in text
    assert [part for part in said if part not in text] == []


def taken(words, capsys) -> str:
    capsys.readouterr()
    assert main(["zoo", "import", *map(str, words)]) == 0
    return capsys.readouterr().out


MODEL = ["--model", "their_nets:make", "--input", "2,3", "--labels", "scores.csv"]
INR = {"dws_mnist": dws_mnist, "dws_fmnist": dws_fmnist, "nfn_cifar": nfn_cifar}


@pytest.mark.parametrize("name", INR)
def test_inrs_are_known_by_their_files_and_drawn(name, tmp_path, capsys):
    INR[name](tmp_path / "inrs")
    said = taken([tmp_path / "inrs", "--out", tmp_path / "zoo"], capsys)
    assert f"format: {name} (" in said
    assert "by what the folder holds" in said
    assert f"imported: inrs ({name})" in said
    assert main(["zoo", "info", str(tmp_path / "zoo")]) == 0
    assert capsys.readouterr().out in said
    assert main(["zoo", "check", str(tmp_path / "zoo")]) == 0
    assert main(["zoo", "show", str(tmp_path / "zoo"), "--out", str(tmp_path / "zoo.png")]) == 0
    assert (tmp_path / "zoo.png").stat().st_size > 5000
    assert f"format: {name}" in taken([tmp_path / "inrs", "--out", tmp_path / "other", "--format", name], capsys)
    files = [path.relative_to(tmp_path / "zoo") for path in (tmp_path / "zoo").rglob("*") if path.is_file()]
    for file in files:
        assert (tmp_path / "zoo" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_colours_in_minus_one_to_one_at_row_and_column_are_drawn_upright(tmp_path, capsys):
    folder = nfn_cifar(tmp_path / "inrs", copies=0)
    taken([folder, "--out", tmp_path / "zoo"], capsys)
    zoo = Zoo.open(tmp_path / "zoo")
    shown = rendered(zoo, np.array([2, 0]))
    assert shown.shape == (2, 3, 32, 32)
    params = torch.load(folder / zoo.rows["file"][2], weights_only=True)
    line = np.linspace(-1, 1, 32)
    for row, column in ((0, 0), (3, 20), (31, 7)):
        want = (function(params, np.array([[line[row], line[column]]]), 0.0)[0] + 1) / 2
        np.testing.assert_allclose(shown[0, :, row, column].numpy(), want, atol=1e-5)


def test_cnns_need_an_activation_and_show_their_accuracies(tmp_path, capsys):
    folder = small_cnn_zoo(tmp_path / "svhn", models=12, dataset="svhn_cropped")
    out = ["--out", tmp_path / "zoo"]
    refused([folder, *out], capsys, "relu and with tanh", "--activation relu")
    said = taken([folder, *out, "--activation", "relu"], capsys)
    assert "Accuracy (%) on the test images" in said
    assert "config.learning_rate" in said
    assert "images: svhn_cropped" in said
    capsys.readouterr()
    assert main(["zoo", "show", str(tmp_path / "zoo"), "--out", str(tmp_path / "zoo.png")]) == 2
    assert "svhn_cropped" in capsys.readouterr().err


@pytest.mark.usefixtures("place")
def test_anybodys_folder_is_a_zoo(capsys):
    said = taken(["nets", "--out", "zoo", *MODEL], capsys)
    assert "format: checkpoints" in said
    assert "networks: their_nets:make" in said
    assert main(["zoo", "show", "zoo", "--out", "zoo.png"]) == 2
    assert "holds networks of the kind 'module'" in capsys.readouterr().err
    run = ["train", "amortize_digits", "--zoo.path", "zoo", "--out", "run"]
    assert main(run) == 2
    assert "no accuracies on validation images" in " ".join(capsys.readouterr().err.split())
    assert main(["finetune", "zoo", "--out", "tuned"]) == 2
    assert "Add --images NAME" in capsys.readouterr().err
    assert main(["perturb", "zoo", "--row", "3", "--out", "copies"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone"], ("gone does not exist", "Name the folder")),
        (["scores.csv"], ("scores.csv is a file",)),
        (["nets"], ("nets is no collection that is known by its files", "needs --model", "--model my_nets:make")),
        (["nets", *MODEL[:4]], ("needs --labels", "--labels scores.csv")),
        (["nets", *MODEL, "--step", "3"], ("--step does not apply to the format checkpoints", "--model, --labels")),
        (["nets", *MODEL[:2], *MODEL[4:]], ("without an example input", "--input 2,3,32,32")),
        (["nets", "--model", "their_nets:by_name", *MODEL[4:]], ("one input", "--input 2,3,32,32")),
        (["nets", *MODEL, "--format", "dws_mnist"], ("--model does not apply to the format dws_mnist", "--split-file")),
        (["nets", "--format", "dws"], ("--format", "invalid choice")),
        (["nets", "--format", "dws_mnist"], ("nets holds no file model_*.pth",)),
        (["nets", "--format", "nfn_cifar"], ("nets holds no randinit_smaller_LABELs/netIMAGE.pth",)),
        (["nets", "--format", "small_cnn_zoo"], ("weights.npy is missing",)),
        (["nets", "--format", "small_cnn_zoo", "--step", "x"], ("--step", "whole number")),
        (["nets", *MODEL[:4], "--labels", "no.csv"], ("cannot read --labels no.csv",)),
        (["nets", "--model", "their_nets:gone", *MODEL[2:]], ("has no 'gone'",)),
    ],
)
def test_what_cannot_be_imported_is_refused_and_leaves_nothing(words, said, place, capsys):
    refused([*words, "--out", "deep/zoo"], capsys, *said)
    assert not (place / "deep").exists()


def test_options_of_other_formats_are_refused(tmp_path, capsys):
    folder = dws_mnist(tmp_path / "inrs", train=3, test=1)
    refused(
        [folder, "--out", tmp_path / "zoo", "--activation", "relu"], capsys, "does not apply to the format dws_mnist"
    )
    refused([folder, "--out", folder / "zoo"], capsys, "nothing is written")


def test_a_damaged_file_ends_in_one_message(tmp_path, capsys):
    folder = dws_mnist(tmp_path / "inrs", train=3, test=1)
    path = next(folder.glob("mnist_*_0_100/checkpoints/model_final.pth"))
    save(siren(1) | {"label": 4}, path)
    refused([folder, "--out", tmp_path / "zoo"], capsys, f"{path} is mislabelled", "take it out of the folder")
    path.write_bytes(b"PK")
    refused([folder, "--out", tmp_path / "zoo"], capsys, str(path))
    assert [path.name for path in tmp_path.iterdir()] == ["inrs"]


def test_a_zoo_of_something_else_is_replaced_only_when_told(tmp_path, capsys):
    first, second = dws_mnist(tmp_path / "first", train=3, test=1), dws_mnist(tmp_path / "second", train=4, test=1)
    out = ["--out", tmp_path / "zoo"]
    taken([first, *out], capsys)
    assert taken([first, *out], capsys)
    refused([second, *out], capsys, "holds a zoo made from something else", "--overwrite")
    assert "imported: second" in taken([second, *out, "--overwrite"], capsys)
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second", "zoo"}
