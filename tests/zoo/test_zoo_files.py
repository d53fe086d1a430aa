"""Zoos on disk: exact resume, extension, and messages about damage."""

import errno
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from zoo_material import content, tiny_config

from weightspace import ConfigError, ZooError
from weightspace.files import atomic
from weightspace.files.results import locked
from weightspace.zoo import Zoo, evaluate, load_images, make_zoo
from weightspace.zoo import _store as store
from weightspace.zoo._resume import unfinished


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A zoo made without interruption: shards of 5, 5 and 2 runs."""
    folder = tmp_path_factory.mktemp("zoo") / "whole"
    make_zoo(tiny_config(), folder)
    return folder


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def weights_of(folder: Path, first: int = 5) -> Path:
    (path,) = folder.glob(f"weights/*/shard-{first:05d}.safetensors")
    return path


def test_rows_describe_the_networks_they_stand_for(whole):
    zoo, images = Zoo.open(whole), load_images("digits")
    assert len(zoo) == 24
    assert zoo.rows["id"].tolist() == [run for run in range(12) for _ in range(2)]
    assert zoo.rows["epoch"].tolist() == [1, 2] * 12
    assert zoo.config == tiny_config()
    params = zoo.load()
    assert zoo.spec.check(params) == 24
    for part, x, y in (("val", images.val_x, images.val_y), ("test", images.test_x, images.test_y)):
        result = evaluate(params, x, y)
        np.testing.assert_allclose(zoo.rows[f"{part}_loss"], result.loss, rtol=1e-5)
        np.testing.assert_allclose(zoo.rows[f"{part}_accuracy"], result.accuracy, rtol=1e-6)
    some = np.array([17, 3, 3, 22])
    for name, value in zoo.load(some).items():
        assert torch.equal(value, params[name][some])


def test_splits_are_by_run_disjoint_and_complete(whole):
    zoo = Zoo.open(whole)
    runs = {name: set(zoo.rows["id"][zoo.split(name)].tolist()) for name in ("train", "val", "test")}
    assert sum(map(len, runs.values())) == len(set.union(*runs.values())) == 12
    assert sum(len(zoo.split(name)) for name in runs) == 24
    assert len(runs["train"]) >= 8
    with pytest.raises(ZooError, match=r"no split 'dev'"):
        zoo.split("dev")


def test_files_carry_the_spec(whole):
    zoo = Zoo.open(whole)
    for path in whole.glob("index/*.parquet"):
        assert store.parse(pq.read_schema(path).metadata[b"spec"].decode()) == zoo.spec
    with store.safe_open(weights_of(whole), "pt") as file:
        assert store.parse(file.metadata()["spec"]) == zoo.spec


def test_the_same_call_gives_the_same_bytes(whole, tmp_path):
    make_zoo(tiny_config(), tmp_path / "again")
    assert content(tmp_path / "again") == content(whole)
    stamps = {path: path.stat().st_mtime_ns for path in whole.glob("*/*/*")}
    make_zoo(tiny_config(), whole)
    assert stamps == {path: path.stat().st_mtime_ns for path in whole.glob("*/*/*")}


def test_the_number_of_threads_does_not_change_the_bytes(whole, tmp_path):
    torch.set_num_threads(2)
    try:
        make_zoo(tiny_config(), tmp_path / "threads")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert content(tmp_path / "threads") == content(whole)


def test_shard_size_changes_weights_by_rounding_only(whole, tmp_path):
    one, other = Zoo.open(whole), make_zoo(tiny_config(shard=4), tmp_path / "other")
    mine, theirs = one.load(), other.load()
    for name in mine:
        torch.testing.assert_close(mine[name], theirs[name], atol=2e-5, rtol=2e-4)
    for name in ("id", "epoch", "split", "seed", "optimizer", "learning_rate", "dropout", "fraction"):
        assert np.array_equal(one.rows[name], other.rows[name])


def _make_in_child(folder: Path) -> None:
    make_zoo(tiny_config(checkpoints=(2, 6), num=24), folder)


def test_killed_at_any_moment_it_continues_to_the_same_bytes(tmp_path):
    # A fork shares the imports, so that nearly all of the child's time is work that can be interrupted.
    fork = multiprocessing.get_context("fork")
    _make_in_child(tmp_path / "plain")
    rng, folder, kills = random.Random(0), tmp_path / "killed", 0
    for shards in (0, 0, 1, 2, 2, 3, 4):
        child = fork.Process(target=_make_in_child, args=(folder,))
        child.start()
        while child.is_alive() and len(list(folder.glob("index/*.parquet"))) < shards:
            time.sleep(0.002)
        child.join(rng.uniform(0.0, 0.3))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.join()
    assert kills >= 2
    _make_in_child(folder)
    assert content(folder) == content(tmp_path / "plain")


@pytest.mark.parametrize("stop", range(7))
def test_killed_between_any_two_writes_it_continues_to_the_same_bytes(whole, tmp_path, monkeypatch, stop):
    written, write = [], atomic.write_bytes

    class Killed(BaseException):
        pass

    def write_some(path, data):
        if len(written) == stop:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(path.name + ".tmp").write_bytes(data[: len(data) // 2])
            raise Killed
        written.append(path)
        write(path, data)

    monkeypatch.setattr(atomic, "write_bytes", write_some)
    with pytest.raises(Killed):
        make_zoo(tiny_config(), tmp_path / "zoo")
    monkeypatch.undo()
    make_zoo(tiny_config(), tmp_path / "zoo")
    assert content(tmp_path / "zoo") == content(whole)


def test_a_larger_num_extends_and_a_smaller_one_changes_nothing(copy):
    before = content(copy)
    assert len(make_zoo(tiny_config(), copy, num=3)) == 24
    assert content(copy) == before
    zoo = make_zoo(tiny_config(num=16), copy)
    after = content(copy)
    assert len(zoo) == 32
    assert all(after[name] == data for name, data in before.items() if name != "zoo.json")
    assert sorted(path.stem for path in copy.glob("index/*")) == [f"shard-{n:05d}" for n in (0, 5, 10, 12, 15)]


def test_another_configuration_is_refused_by_its_first_field(copy):
    with pytest.raises(ZooError, match=r"checkpoints is \[1, 2\] there, \[1, 3\] here.*--out"):
        make_zoo(tiny_config(checkpoints=(1, 3)), copy)
    with pytest.raises(ZooError, match=r"hyper\.l2 is .* there"):
        make_zoo(tiny_config(hyper={"l2": (1e-3, 1e-2)}), copy)


def truncate(folder: Path) -> None:
    path = weights_of(folder)
    path.write_bytes(path.read_bytes()[:-100])


def swap_shards(folder: Path) -> None:
    shutil.copy(weights_of(folder, 10), weights_of(folder, 5))


def put_nan(folder: Path) -> None:
    path = weights_of(folder)
    with store.safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors["layers.1.weight"][3, 0, 0] = float("nan")
    save_file(tensors, path, metadata)
    index = folder / "index" / "shard-00005.parquet"  # as in a zoo of a version that took no samples
    table = pq.read_table(index)
    kept = {key: value for key, value in table.schema.metadata.items() if key != b"weights_sample"}
    pq.write_table(table.replace_schema_metadata(kept), index)


def strange_architecture(folder: Path) -> None:
    path = weights_of(folder)
    tensors = load_file(path)
    save_file(tensors, path, {"spec": "in[2] fixed\n\nw in\n"})


def cut_index(folder: Path) -> None:
    path = folder / "index" / "shard-00005.parquet"
    path.write_bytes(path.read_bytes()[:-50])


DAMAGE = [
    pytest.param(lambda f: weights_of(f).unlink(), r"shard-00005\.safetensors are missing", id="missing weights"),
    pytest.param(truncate, r"shard-00005\.safetensors are truncated or damaged", id="truncated weights"),
    pytest.param(swap_shards, r"'layers\.\d\.\w+' with shape \[4, .*says \[10, ", id="row mismatch"),
    pytest.param(strange_architecture, r"of another architecture", id="architecture"),
    pytest.param(cut_index, r"index part .*shard-00005\.parquet is damaged", id="truncated index"),
    pytest.param(lambda f: (f / "index" / "shard-00005.parquet").unlink(), r"has 7 of its 12 runs", id="missing index"),
    pytest.param(put_nan, r"not finite, the first in 'layers\.1\.weight' of run 6, epoch 2", id="NaN"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_damage_is_named_with_the_line_that_repairs_it(whole, copy, damage, message):
    damage(copy)
    with pytest.raises(ZooError, match=message) as caught:
        Zoo.open(copy).load()
    assert f"weightspace zoo make RECIPE --out {copy}" in str(caught.value)
    make_zoo(tiny_config(), copy)
    assert content(copy) == content(whole)


def test_a_folder_that_is_no_zoo_says_so(copy, tmp_path):
    with pytest.raises(ZooError, match=r"is not a zoo.*weightspace zoo make RECIPE --out"):
        Zoo.open(tmp_path)
    manifest = json.loads((copy / "zoo.json").read_text())
    for change, message in (
        ({"format": 99}, "of format 99"),
        ({"architectures": {}}, "incomplete"),
        ({"config": {"images": "nope"}}, "incomplete"),
    ):
        (copy / "zoo.json").write_text(json.dumps(manifest | change))
        with pytest.raises(ZooError, match=message):
            Zoo.open(copy)
    (copy / "zoo.json").write_text("{")
    with pytest.raises(ZooError, match="cannot be read"):
        Zoo.open(copy)
    with pytest.raises(ZooError, match="cannot be read"):
        make_zoo(tiny_config(), copy)


@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_half_written(whole, tmp_path, monkeypatch, place):
    real, calls = getattr(os, place), []

    def fail_later(*args):
        calls.append(args)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(os, place, fail_later)
    with pytest.raises(ConfigError, match=r"cannot write .*No space left on device"):
        make_zoo(tiny_config(), tmp_path / "zoo")
    monkeypatch.undo()
    assert not list((tmp_path / "zoo").rglob("*.tmp"))
    reference = content(whole)
    assert all(reference[name] == data for name, data in content(tmp_path / "zoo").items())
    make_zoo(tiny_config(), tmp_path / "zoo")
    assert content(tmp_path / "zoo") == reference


def test_places_that_cannot_be_written_are_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ZooError, match=r"file is a file. Name a folder, e.g. --out"):
        make_zoo(tiny_config(), tmp_path / "file")

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ZooError, match=r"Permission denied.*--out"):
        make_zoo(tiny_config(), tmp_path / "zoo")


def test_a_second_writer_is_kept_out(copy):
    with locked(copy, "making the zoo", ZooError), pytest.raises(ZooError, match="another process is making the zoo"):
        make_zoo(tiny_config(), copy)
    make_zoo(tiny_config(), copy)


def test_a_target_that_does_not_fit_the_images_is_refused(tmp_path):
    config = tiny_config(target={"widths": (32, 8, 10)})
    with pytest.raises(ConfigError, match=r"32 inputs and 10 outputs cannot classify digits.*64"):
        make_zoo(config, tmp_path / "deep" / "zoo")
    assert not (tmp_path / "deep").exists()


def test_only_an_interrupted_zoo_of_the_same_configuration_is_unfinished(copy, tmp_path):
    config = tiny_config()
    assert unfinished(config, tmp_path / "nothing") == config.num
    assert unfinished(config, copy) is None
    for path in copy.glob("*/shard-00010.*"):
        path.unlink()
    for path in copy.glob("weights/*/shard-00010.*"):
        path.unlink()
    assert unfinished(config, copy) == config.num
    assert unfinished(tiny_config(seed=9), copy) is None
    truncate(copy)
    assert unfinished(config, copy) is None
    (copy / "zoo.json").unlink()
    assert unfinished(config, copy) is None


def test_diverged_rows_are_marked_and_in_no_split(tmp_path):
    hyper = {"optimizers": ("sgd",), "learning_rate": (1e9, 1e9), "dropout": (0.0, 0.0)}
    target = {"widths": (64, 8, 10), "activation": "relu"}
    zoo = make_zoo(tiny_config(hyper=hyper, target=target, num=4), tmp_path / "zoo")
    assert zoo.rows["diverged"].all()
    assert set(zoo.rows["split"]) == {"none"}
    assert all(value.isfinite().all() for value in zoo.load().values())
    assert all(len(zoo.split(name)) == 0 for name in ("train", "val", "test"))


def test_progress_counts_the_model_images_that_were_used(tmp_path):
    seen = []
    zoo = make_zoo(tiny_config(num=6), tmp_path / "zoo", progress=lambda *args: seen.append(args))
    fractions = zoo.rows["fraction"][zoo.rows["epoch"] == 1]
    total = sum(2 * round(1200 * fraction) for fraction in fractions)
    assert seen[-1][:2] == (total, total)
    assert [done for done, *_ in seen] == sorted(done for done, *_ in seen)


def test_an_interrupt_stops_every_thread(tmp_path):
    calls = []

    def interrupt(*args: object) -> None:
        calls.append(args)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_zoo(tiny_config(checkpoints=(500,)), tmp_path / "zoo", progress=interrupt)
    assert len(calls) <= 2


def test_the_index_knows_the_hash_of_its_weights(whole):
    _, metadata = store.read_index(whole, "shard-00005")
    assert metadata["weights_sha256"] == hashlib.sha256(weights_of(whole).read_bytes()).hexdigest()


def test_weights_that_were_replaced_are_met_when_the_zoo_is_opened(copy):
    one, other = weights_of(copy, 0), weights_of(copy, 5)
    one.write_bytes(other.read_bytes())
    with pytest.raises(ZooError, match=r"shard-00000.*are not those that its index part was written for"):
        Zoo.open(copy)
    make_zoo(tiny_config(), copy)
    Zoo.open(copy, whole=True)


def test_every_flipped_bit_is_found_by_the_whole_check(copy, monkeypatch):
    # Blocks as small as these shards allow, so that most of a file lies between them.
    monkeypatch.setattr(store, "_BLOCK", 64)
    shutil.rmtree(copy)
    make_zoo(tiny_config(), copy)
    path = weights_of(copy)
    content = bytearray(path.read_bytes())
    content[-65 - len(content) // 40] ^= 1
    path.write_bytes(content)
    Zoo.open(copy)
    with pytest.raises(ZooError, match=r"shard-00005.*damaged or were replaced"):
        Zoo.open(copy, whole=True)


def test_a_zoo_from_before_blocks_were_noted_opens(copy):
    import pyarrow.parquet as pq

    for part in (copy / "index").glob("*.parquet"):
        table = pq.read_table(part)
        kept = {key: value for key, value in table.schema.metadata.items() if key != b"weights_sample"}
        pq.write_table(table.replace_schema_metadata(kept), part)
    assert len(Zoo.open(copy, whole=True)) == 24


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("change", [{}, {"seed": 1}, {"target": {"widths": (64, 8, 10), "activation": "relu"}}])
def test_a_zoo_that_lost_its_manifest_is_neither_adopted_nor_deleted(copy, change, overwrite):
    (copy / "zoo.json").unlink()
    before = content(copy)
    config = tiny_config(**change)
    with pytest.raises(ZooError, match=r"holds 'index' and no zoo\.json.*put its zoo\.json back"):
        make_zoo(config, copy, overwrite=overwrite)
    assert unfinished(config, copy) is None
    assert content(copy) == before


def test_a_zoo_of_another_configuration_is_replaced_only_when_asked(copy, whole):
    with pytest.raises(ZooError, match=r"seed is \d+ there, 1 here"):
        make_zoo(tiny_config(seed=1), copy)
    assert content(copy) == content(whole)
    make_zoo(tiny_config(seed=1), copy, overwrite=True)
    assert Zoo.open(copy, whole=True).config.seed == 1
    assert weights_of(copy).read_bytes() != weights_of(whole).read_bytes()
