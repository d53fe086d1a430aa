"""``weightspace apply`` with operators, networks and places that cannot be used: a message, code 2, nothing written."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from weightspace.cli import main
from weightspace.nn import ScaleFamily
from weightspace.run import models
from weightspace.spec import parse
from weightspace.tasks import Dataset, Improve
from weightspace.zoo import MLP, MLPTarget

TEXT = """
in[64] fixed
h0[6] sign
out[10] fixed

layers.0.weight h0 in~
layers.0.bias h0
layers.1.weight out h0~
layers.1.bias out
"""


def save_network(path, widths=(64, 6, 10), change=lambda params: params):
    save_file(change(MLP(widths, "tanh").state_dict()), path)
    return path


@pytest.fixture
def folder(tmp_path):
    """A run's checkpoint and one network that fits it."""
    config = ScaleFamily(width=4, rounds=1)
    spec = parse(TEXT)
    dataset = Dataset(MLPTarget(widths=(64, 6, 10)), spec, "digits", {})
    weights = models.build(config, Improve(), spec, dataset.target).state_dict()
    models.save(tmp_path / "run" / "checkpoint.safetensors", weights, config, Improve(), dataset, "made-up")
    save_network(tmp_path / "net.safetensors")
    return tmp_path


def apply(folder, network="net.safetensors", out="new.safetensors", run="run", more=()):
    return main(["apply", str(folder / run), str(folder / network), "--out", str(folder / out), *more])


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(folder, capsys, *said, **places):
    """The command ends with code 2 and one message, and no file has come or gone."""
    before = everything(folder)
    assert apply(folder, **places) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert "Traceback" not in text
    assert [words for words in said if words not in text] == []
    assert everything(folder) == before


def test_a_network_is_changed_and_one_line_is_printed(folder, capsys):
    assert apply(folder) == 0
    text = capsys.readouterr().out
    assert text.count("new.safetensors") == 1
    assert text.count(" %") >= 3
    old, new = (load_file(folder / name) for name in ("net.safetensors", "new.safetensors"))
    assert list(old) == list(new)
    assert not all(torch.equal(old[name], new[name]) for name in old)


def test_a_folder_gives_a_folder(folder):
    (folder / "nets").mkdir()
    for name in ("a", "b"):
        save_network(folder / "nets" / f"{name}.safetensors")
    assert apply(folder, network="nets", out="better") == 0
    assert sorted(path.name for path in (folder / "better").iterdir()) == ["a.safetensors", "b.safetensors"]


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"not a checkpoint at all"])
def test_a_corrupt_checkpoint_is_refused(folder, capsys, damage):
    path = folder / "run" / "checkpoint.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    refused(folder, capsys, str(path), "not a readable safetensors file")


def test_a_checkpoint_of_something_else_is_refused(folder, capsys):
    (folder / "run" / "checkpoint.safetensors").write_bytes((folder / "net.safetensors").read_bytes())
    refused(folder, capsys, "no metanetwork of this library")


def test_a_run_without_checkpoint_is_refused(folder, capsys):
    (folder / "empty").mkdir()
    refused(folder, capsys, "holds no checkpoint.safetensors", run="empty")


def test_an_unknown_operator_is_refused(folder, capsys):
    assert main(["apply", "digits-tahn", str(folder / "net.safetensors"), "--out", str(folder / "x.safetensors")]) == 2
    assert "no run folder, checkpoint or pretrained model 'digits-tahn'" in capsys.readouterr().err


def test_another_width_is_refused_with_the_first_difference(folder, capsys):
    save_network(folder / "wide.safetensors", widths=(64, 7, 10))
    refused(
        folder,
        capsys,
        "wide.safetensors",
        "parameter 'layers.0.weight' has shape [7, 64]",
        "needs [6, 64]",
        network="wide.safetensors",
    )


def test_another_depth_is_refused_with_the_first_difference(folder, capsys):
    save_network(folder / "deep.safetensors", widths=(64, 6, 6, 10))
    refused(folder, capsys, "'layers.2.", "not part of this architecture", network="deep.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused(folder, capsys, value):
    def spoil(params):
        params["layers.1.bias"][3] = value
        return params

    save_network(folder / "bad.safetensors", change=spoil)
    refused(folder, capsys, "bad.safetensors", "'layers.1.bias'", "not finite", network="bad.safetensors")


def test_a_bad_network_of_a_folder_is_left_out_and_the_code_is_1(folder, capsys):
    (folder / "nets").mkdir()
    save_network(folder / "nets" / "a.safetensors")
    save_network(folder / "nets" / "b.safetensors", widths=(64, 7, 10))
    assert apply(folder, network="nets", out="better") == 1
    assert "b.safetensors: parameter 'layers.0.weight' has shape [7, 64]" in capsys.readouterr().out
    assert [path.name for path in (folder / "better").iterdir()] == ["a.safetensors"]


def test_a_missing_network_is_refused(folder, capsys):
    refused(folder, capsys, "nowhere.safetensors does not exist", network="nowhere.safetensors")


def test_a_truncated_network_is_refused(folder, capsys):
    data = (folder / "net.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(data[:-10])
    refused(folder, capsys, "cut.safetensors", "not a readable safetensors file", network="cut.safetensors")


def test_a_place_below_a_file_is_refused(folder, capsys):
    refused(folder, capsys, "cannot write", "net.safetensors", out="net.safetensors/new.safetensors")


def test_no_permission_to_write_is_refused(folder, capsys, monkeypatch):
    real = Path.open

    def deny(path, mode="r", *args, **kwargs):
        if "w" in mode:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", deny)
    refused(folder, capsys, "cannot write", "Permission denied", "--out")


def test_a_full_disk_leaves_the_old_file_and_no_half_of_the_new_one(folder, capsys, monkeypatch):
    assert apply(folder) == 0
    before = (folder / "new.safetensors").read_bytes()

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    save_network(folder / "net.safetensors")
    monkeypatch.setattr("os.fsync", full)
    refused(folder, capsys, "No space left on device", "Nothing was half-written", more=("--overwrite",))
    assert (folder / "new.safetensors").read_bytes() == before


def test_a_write_that_the_system_cuts_short_leaves_nothing(folder):
    # The kernel refuses to let any file grow beyond 1,000 bytes: the write itself fails half-way.
    code = (
        "import resource, sys\n"
        "from weightspace.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    before = everything(folder)
    words = ["apply", str(folder / "run"), str(folder / "net.safetensors"), "--out", str(folder / "new.safetensors")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert everything(folder) == before
