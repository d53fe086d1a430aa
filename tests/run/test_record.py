"""Files are written whole or not at all; configurations survive YAML and refuse what they do not know."""

import errno
import os

import pytest
import torch
from tiny_runs import tiny_run, tiny_task

from weightspace import ConfigError
from weightspace.files import atomic
from weightspace.run import from_yaml, parse_run, record, to_yaml
from weightspace.run.config import Run
from weightspace.tasks import Distill


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    atomic.write_text(tmp_path / "a.json", "old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"cannot write .*a\.json: No space left on device"):
        atomic.write_text(tmp_path / "a.json", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", "old")]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        atomic.write_text(tmp_path / "file" / "a.json", "new")


def test_a_cut_line_of_metrics_is_dropped(tmp_path):
    record.append_metrics(tmp_path, {"step": 1})
    with (tmp_path / record.METRICS).open("a") as file:
        file.write('{"step": 2, "val')
    assert record.read_metrics(tmp_path) == [{"step": 1}]
    record.keep_metrics(tmp_path, lambda line: line["step"] < 9)
    assert (tmp_path / record.METRICS).read_text() == '{"step": 1}\n'


def test_a_configuration_survives_yaml(tmp_path, zoo_dir):
    config = tiny_run(zoo_dir, task=tiny_task(objective=Distill(l1=1e-3)))
    (tmp_path / "a.yaml").write_text(to_yaml(config))
    assert from_yaml(tmp_path / "a.yaml") == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modle": {}}, "modle: Extra inputs"),
        ({"model": {"kind": "scale", "width": 0}}, "model.width: Input should be greater"),
        ({"model": {"kind": "scael"}}, "family of metanetworks 'scael'. Did you mean 'scale'"),
        ({"model": {"width": 3}}, "needs its kind. Write kind: .*scale"),
        ({"task": {"kind": "improve", "table": {"epochs": 3}}}, "task.table.epochs: Extra inputs"),
        ({"task": {"kind": "improve", "objective": {"kind": "mse"}}}, "task.objective: .*'ce', 'distill'"),
        ({"task": {"kind": "improve", "objective": {"kind": "distill", "l1": 0}}}, "l1 = 0"),
        ({"zoo": {}}, "zoo: .*needs a zoo"),
    ],
)
def test_what_a_configuration_does_not_know_is_refused_by_name(change, words):
    with pytest.raises(ConfigError, match=words):
        parse_run({"zoo": {"path": "zoo"}} | change)


def test_configurations_do_not_change(zoo_dir):
    config = tiny_run(zoo_dir)
    with pytest.raises(ValueError, match="frozen"):
        config.name = "other"
    assert isinstance(config, Run)


def test_the_same_tensors_and_metadata_give_the_same_bytes(tmp_path):
    tensors = {"b": torch.arange(3.0), "a": torch.zeros(2, 2, dtype=torch.bfloat16)}
    metadata = {name: name * 3 for name in "hgfedcba"} | {"name": "\u00e4"}
    for name in range(12):
        atomic.save_tensors(tmp_path / f"{name}", tensors, metadata)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    got, said = atomic.load_tensors(tmp_path / "0")
    assert said == metadata
    assert all(torch.equal(got[name], value) for name, value in tensors.items())
