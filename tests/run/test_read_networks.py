"""What trained metanetworks make of files of INRs: answers in a table, and edited images."""

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_runs import tiny_run

from weightspace import ConfigError, SpecMismatch
from weightspace.cli import main
from weightspace.files import atomic
from weightspace.gauge import act, sample
from weightspace.run import apply, models, read_networks, reads, record, train
from weightspace.tasks import ClassifyInr, EditInr
from weightspace.tasks.edit_inr import edited
from weightspace.zoo import Zoo


@pytest.fixture(scope="module")
def files(inr_dir, tmp_path_factory):
    folder, zoo = tmp_path_factory.mktemp("inrs"), Zoo.open(inr_dir)
    params = zoo.load()
    moved = act(sample(zoo.spec, 0, num=len(zoo)), params, zoo.spec)
    for row in range(4):
        for name, stacked in (("own", params), ("moved", moved)):
            one = {key: value[row].contiguous() for key, value in stacked.items()}
            save_file(one, folder / f"{row}-{name}.safetensors")
    return folder


@pytest.fixture(scope="module")
def reader(inr_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader") / "run"
    train(tiny_run(inr_dir, steps=4, task=ClassifyInr()), folder)
    return folder


@pytest.fixture(scope="module")
def editor(inr_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("editor") / "run"
    train(tiny_run(inr_dir, steps=4, task=EditInr(edit="erode")), folder)
    return folder


def test_every_network_gets_the_answer_of_the_functional_in_every_gauge(reader, files, tmp_path):
    rows = read_networks(reader, files, tmp_path / "out.csv")
    assert [row["file"] for row in rows] == [str(path) for path in sorted(files.iterdir())]
    module = models.load(reader / record.CHECKPOINT).module
    for row in rows:
        one, _ = atomic.load_tensors(files / row["file"])
        shares = module({name: value[None] for name, value in one.items()})[0].softmax(0)
        assert row["class"] == int(shares.argmax())
        assert row["probability"] == pytest.approx(float(shares.max()), abs=1e-5)
        assert sum(row[f"p{k}"] for k in range(10)) == pytest.approx(1)
    for own, moved in zip(rows[1::2], rows[::2], strict=True):
        assert all(own[f"p{k}"] == pytest.approx(moved[f"p{k}"], abs=1e-5) for k in range(10))
    with (tmp_path / "out.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [(row["file"], int(row["class"])) for row in table] == [(row["file"], row["class"]) for row in rows]
    read_networks(reader, files, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == rows


def test_apply_reads_or_writes_by_what_was_trained(reader, editor, files, tmp_path, capsys):
    assert (reads(reader), reads(editor)) == (True, False)
    (files / "bad.safetensors").write_bytes(b"x")
    try:
        assert main(["apply", str(reader), str(files), "--out", str(tmp_path / "said.csv")]) == 1
    finally:
        (files / "bad.safetensors").unlink()
    said = capsys.readouterr()
    assert "probability" in said.out
    assert "p7" not in said.out
    assert "bad.safetensors" in said.out + said.err
    assert len((tmp_path / "said.csv").read_text().splitlines()) == 9
    assert main(["apply", str(editor), str(files), "--out", str(tmp_path / "new")]) == 0
    assert "error before" in capsys.readouterr().out
    assert main(["apply", str(reader), str(files), "--out", str(tmp_path / "said")]) == 2
    assert "--out answers.csv" in capsys.readouterr().err
    assert not (tmp_path / "said").exists()


def test_edited_networks_are_scored_and_drawn(editor, files, tmp_path):
    rows = apply(editor, files, tmp_path / "new")
    target = models.load(editor / record.CHECKPOINT).target
    for row in rows:
        old, new = (atomic.load_tensors(Path(path))[0] for path in (row.file, row.out))
        before, after = (target.pictures({n: v[None] for n, v in one.items()}, 8) for one in (old, new))
        goal = edited("erode", before)
        assert row.score == "error"
        assert row.before == pytest.approx(float((before - goal).square().mean()), rel=1e-4)
        assert row.after == pytest.approx(float((after - goal).square().mean()), rel=1e-4)
        assert Image.open(row.picture).size == (16, 8)


def test_a_picture_replaces_no_other_file(editor, files, tmp_path, capsys):
    file, other = str(min(files.glob("*.safetensors"))), tmp_path / "new.safetensors.png"
    other.write_text("mine")
    words = ["apply", str(editor), file, "--out", str(tmp_path / "new.safetensors")]
    assert main(words) == 2
    assert "new.safetensors.png is there already" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == [other.name]
    assert other.read_text() == "mine"
    assert main([*words, "--overwrite"]) == 0
    assert Image.open(other).size == (16, 8)


def test_what_is_no_reader_or_no_such_network_is_refused(reader, editor, files, zoo_dir, tmp_path):
    with pytest.raises(ConfigError, match="changes networks"):
        read_networks(editor, files)
    with pytest.raises(ConfigError, match="reads networks and writes none"):
        apply(reader, files, tmp_path / "new")
    zoo = Zoo.open(zoo_dir)
    save_file({name: value[0].contiguous() for name, value in zoo.load([0]).items()}, tmp_path / "mlp.safetensors")
    with pytest.raises(SpecMismatch, match=r"mlp\.safetensors"):
        read_networks(reader, tmp_path / "mlp.safetensors", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("dilat", "Did you mean 'dilate'"),
        ("nowhere.to_be:found", "cannot be imported"),
        ("math:nothing", "has no function"),
        ("torch:mean", "returned"),
    ],
)
def test_edits_that_are_none_are_refused(edit, said):
    with pytest.raises(ConfigError, match=said):
        edited(edit, torch.rand(2, 1, 8, 8))


def test_edits_are_those_of_image_processing():
    image = torch.zeros(1, 1, 5, 6)
    image[0, 0, 2, 3] = 1
    want = torch.zeros(5, 6)
    want[1:4, 2:5] = 1
    assert torch.equal(edited("dilate", image)[0, 0], want)
    assert torch.equal(edited("erode", 1 - image)[0, 0], 1 - want)
    steps = torch.linspace(0.4, 0.6, 12).view(1, 3, 2, 2)
    torch.testing.assert_close(edited("contrast", steps), 0.5 + 2 * (steps - 0.5))
    assert float(edited("contrast", image).max()) == 1
