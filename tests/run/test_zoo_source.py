"""The zoo of a run is found from anywhere, never made or repaired behind the user's back, and known again."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiny_runs import tiny_run, tiny_zoo

from weightspace import ConfigError, SpecError, ZooError
from weightspace.nn import PublishedFamily
from weightspace.run import record, train
from weightspace.run.config import ZooRef
from weightspace.run.problem import open_problem
from weightspace.zoo import ResNetTarget, SeedZooConfig


def run_on(make):
    return tiny_run(Path()).model_copy(update={"zoo": ZooRef(path="zoos/tanh", make=make)})


CONFIG = run_on(tiny_zoo())


@pytest.fixture
def home(zoo_dir, tmp_path, monkeypatch):
    """A folder with a zoo, and a run in out/run that names it by a relative path."""
    shutil.copytree(zoo_dir, tmp_path / "zoos" / "tanh")
    monkeypatch.chdir(tmp_path)
    train(CONFIG, tmp_path / "out" / "run")
    return tmp_path


def test_a_relative_path_is_found_from_elsewhere(home, monkeypatch):
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    assert len(open_problem(CONFIG, home / "out" / "run")[1].dataset.splits["train"]) == 32
    train(CONFIG, home / "out" / "run")
    assert list((home / "elsewhere").iterdir()) == []


def test_a_missing_zoo_is_refused_and_not_made(home):
    shutil.rmtree(home / "zoos")
    with pytest.raises(ConfigError, match=r"zoo of the run .* is missing.*weightspace train tiny --config"):
        open_problem(CONFIG, home / "out" / "run")
    assert not (home / "zoos").exists()


def test_no_zoo_is_made_for_a_family_that_cannot_read_its_networks(tmp_path):
    target = ResNetTarget(side=28, channels=2, num_classes=10)
    zoo = ZooRef(make=SeedZooConfig(images="mnist", target=target, num=20, epochs=1))
    run = tiny_run(Path(), model=PublishedFamily(preset="mnist_edit", width=4, rounds=1))
    with pytest.raises(SpecError, match="space 'h0' has nonzero"):
        train(run.model_copy(update={"zoo": zoo}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_zoo_is_refused_unless_the_run_is_older_than_fingerprints(home):
    part = next((home / "zoos").rglob("*.parquet"))
    before = part.read_bytes()
    pq.write_table(pq.read_table(part), part, compression="none")
    assert part.read_bytes() != before
    for call in (open_problem, lambda config, folder: train(config, folder)):
        with pytest.raises(ConfigError, match="is not the one that the run"):
            call(CONFIG, home / "out" / "run")
    (home / "out" / "run" / record.ZOO).unlink()
    open_problem(CONFIG, home / "out" / "run")


@pytest.mark.parametrize("seed", [0, 9])
def test_a_damaged_zoo_is_not_repaired_and_keeps_its_manifest(home, seed):
    shard = next((home / "zoos").rglob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-100])
    manifest = home / "zoos" / "tanh" / "zoo.json"
    before = manifest.read_bytes()
    make = tiny_zoo().model_copy(update={"seed": seed, "num": 25})
    with pytest.raises(ZooError, match="truncated or damaged"):
        train(run_on(make), home / "out" / "new")
    assert manifest.read_bytes() == before
    assert not (home / "out" / "new").exists()


@pytest.mark.parametrize("name", ["mine.pth", "index/shard-00000.parquet"])
def test_a_folder_of_anything_else_is_never_made_a_zoo(name, tmp_path):
    mine = tmp_path / "nets" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    config = tiny_run(Path()).model_copy(update={"zoo": ZooRef(path=str(tmp_path / "nets"), make=tiny_zoo())})
    with pytest.raises(ZooError, match="is not a zoo"):
        train(config, tmp_path / "run")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_an_interrupted_zoo_is_finished_to_its_own_size(home):
    folder = home / "zoos" / "tanh"
    for path in [*folder.glob("index/*"), *folder.glob("weights/*/*")]:
        path.unlink()
    make = tiny_zoo().model_copy(update={"num": 25})
    train(run_on(make), home / "out" / "new")
    assert json.loads((folder / "zoo.json").read_text())["num"] == 20
