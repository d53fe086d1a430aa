"""Zoos, configurations, runs and places that cannot be used: a message that helps, code 2, nothing half-written."""

import errno
import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from weightspace import ConfigError, recipes
from weightspace.cli import main
from weightspace.nn import ScaleFamily
from weightspace.run.config import Run, TrainConfig, ZooRef
from weightspace.tasks import Improve, ImproveTable
from weightspace.zoo import MLPTarget, ZooConfig

ZOO = ZooConfig(
    images="digits", target=MLPTarget(widths=(64, 4, 10)), num=24, checkpoints=(1,), batch_size=512, shard=12
)
RUN = Run(
    name="tiny",
    zoo=ZooRef(make=ZOO),
    model=ScaleFamily(width=4, rounds=1),
    train=TrainConfig(steps=2, batch_size=4, validate_every=1, validation_networks=2),
    task=Improve(
        images_per_step=50,
        table=ImproveTable(sgd_epochs=(1,), adam_epochs=(1,), sgd_learning_rates=(0.1,), adam_learning_rates=(1e-3,)),
    ),
)


@pytest.fixture(autouse=True)
def _tiny_recipes(monkeypatch):
    monkeypatch.setitem(recipes.ZOOS, "tiny_zoo", lambda: ZOO)
    monkeypatch.setitem(recipes.RUNS, "tiny", lambda: RUN)
    monkeypatch.setitem(recipes.RUNS, "demo", lambda: RUN)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A trained and evaluated run with its zoo, made once through the command ``demo``."""
    folder = tmp_path_factory.mktemp("made") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.RUNS, "demo", lambda: RUN)
        assert main(["demo", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(made, tmp_path):
    """A copy of the run that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def the_only(folder, pattern):
    return sorted(folder.rglob(pattern))[0]


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(words, capsys, *said):
    """The command ends with code 2 and one message that holds all of ``said``."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    flat = " ".join(text.split())
    assert [part for part in said if part not in flat] == []
    return text


def no_permission(monkeypatch):
    real = Path.open

    def deny(path, mode="r", *args, **kwargs):
        if "w" in mode:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", deny)


def full_disk(monkeypatch):
    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)


def accuracies(folder):
    """Of every method but the one whose work depends on the time the operator took."""
    rows = json.loads((folder / "results.json").read_text())["rows"]
    return {row["method"]: row["per_network_accuracy"] for row in rows if row["method"] != "adam-equal"}


# The demo, whole


def test_the_demo_leaves_all_its_results_in_its_folder(made):
    for name in ("results.json", "results.md", "report.html", "config.yaml", "plots/accuracies.svg"):
        assert (made / name).is_file()
    assert "On " in (made / "report.html").read_text()


def test_a_finished_demo_that_is_typed_again_gives_the_same_table(run, capsys):
    before = accuracies(run)
    zoo = everything(run / "zoo")
    assert main(["demo", "--out", str(run)]) == 0
    assert accuracies(run) == before
    assert everything(run / "zoo") == zoo
    assert "unseen networks the operator" in " ".join(capsys.readouterr().out.split())


# Recipes, options, configuration files


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["zoo", "make", "digits_mlp_tahn", "--out", "x"], "Did you mean 'digits_mlp_tanh'?"),
        (["train", "amortise_digits", "--out", "x"], "Did you mean 'amortize_digits'?"),
        (["train", "digits_mlp_tanh", "--out", "x"], "a recipe of 'weightspace zoo make'"),
        (["train", "tiny", "--otu", "x"], "Did you mean '--out'?"),
        (["train", "tiny"], "--out is missing"),
        (["finetune", "x"], "--out is missing"),
    ],
)
def test_an_unknown_recipe_or_option_is_answered_with_the_nearest(words, said, capsys):
    assert refused(words, capsys, said).startswith("error: ")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--train.stpes", "3"], "--train.steps"),
        (["--model.widht=3"], "--model.width"),
        (["--train.steps", "many"], "--train.steps"),
        (["--train.steps", "-3"], "--train.steps is -3, but must be at least 1."),
        (["--train.learning-rate", "1e30"], "--train.learning-rate is 1e+30, but must be at most 1e+09."),
        (["--train.learning-rate", "inf"], "--train.learning-rate is inf, but must be a finite number, above 0."),
        (["--task.min-val-accuracy", "2"], "--task.min-val-accuracy is 2.0, but must be at least 0 and at most 1."),
        (["--train.device", "tpu"], "'tpu' for argument '--train.device'"),
        (["--zoo.make.checkpoints", "3", "2"], "--zoo.make: checkpoints must be increasing"),
    ],
)
def test_an_option_of_the_configuration_that_does_not_fit_is_named(option, said, tmp_path, capsys):
    text = refused(["train", "tiny", "--out", tmp_path / "new", *option], capsys, said)
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert "pydantic" not in text
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read"),
        ("train: [", "cannot read"),
        ("just words", "holds no 'name: value' lines"),
        ("modle: {width: 3}", "modle: Extra inputs are not permitted"),
        ("train: {stpes: 3}", "train.stpes: Extra inputs are not permitted"),
        ("train: {steps: 0}", "train.steps: Input should be greater than or equal to 1"),
    ],
)
def test_a_configuration_file_that_does_not_fit_is_refused(text, said, tmp_path, capsys):
    file = tmp_path / "my.yaml"
    if text is not None:
        file.write_text(text)
    assert refused(["train", "tiny", "--out", tmp_path / "new", "--config", file], capsys, said).startswith("error: ")
    assert not (tmp_path / "new").exists()


def test_options_replace_the_file_which_replaces_the_recipe(tmp_path):
    from weightspace.cli.train import configure

    file = tmp_path / "my.yaml"
    file.write_text("train: {steps: 7, clip: 0.5}\ntask: {objective: {kind: distill, l1: 0.001}}\n")
    config = configure("tiny", file, ["--train.steps", "9"])
    assert (config.train.steps, config.train.clip, config.train.batch_size) == (9, 0.5, 4)
    objective = config.task.objective
    assert (objective.kind, objective.l1, config.task.images_per_step) == ("distill", 0.001, 50)


def test_another_kind_takes_the_place_of_a_group_and_its_entries_follow(tmp_path):
    from weightspace.cli.train import configure

    file = tmp_path / "my.yaml"
    file.write_text("model: {kind: flat, depth: 3}\n")
    assert configure("tiny", file, []).model.model_dump() == {"kind": "flat", "width": 256, "depth": 3, "dropout": 0.0}
    options = ["--model.kind", "matrix", "--model.width", "8"]
    model = configure("tiny", file, options).model
    assert (model.kind, model.width) == ("matrix", 8)
    with pytest.raises(ConfigError, match=r"unknown family of metanetworks 'matrx'\. Did you mean 'matrix'"):
        configure("tiny", None, ["--model.kind=matrx"])


def test_a_folder_of_another_run_is_not_mixed_with_a_new_one(run, capsys):
    refused(["train", "tiny", "--out", run, "--model.width", "5"], capsys, "model.width is 4 there, 5 here")


# Zoos

# A recipe that says how its zoo is made would repair it; this one only reads.
reads_a_zoo = pytest.mark.parametrize(
    "words", [["zoo", "info"], ["train", "tiny", "--out", "new", "--config", "no_make.yaml", "--zoo.path"]]
)


def in_a_folder_of_its_own(run, monkeypatch):
    monkeypatch.chdir(run.parent)
    Path("no_make.yaml").write_text(f"zoo: {{make: null, path: {run / 'zoo'}}}\n")


def test_a_folder_that_is_no_zoo_is_refused(tmp_path, capsys):
    refused(["zoo", "info", tmp_path], capsys, "is not a zoo", "weightspace zoo make RECIPE")


@reads_a_zoo
def test_a_missing_shard_is_named(run, capsys, words, monkeypatch):
    in_a_folder_of_its_own(run, monkeypatch)
    shard = the_only(run / "zoo" / "weights", "*.safetensors")
    shard.unlink()
    refused([*words, run / "zoo"], capsys, shard.name, "are missing", "weightspace zoo make")


@reads_a_zoo
def test_a_truncated_shard_is_named(run, capsys, words, monkeypatch):
    in_a_folder_of_its_own(run, monkeypatch)
    shard = the_only(run / "zoo" / "weights", "*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-100])
    refused([*words, run / "zoo"], capsys, shard.name, "truncated or damaged", "weightspace zoo make")


def test_train_does_not_repair_a_zoo_with_a_truncated_shard(run, tmp_path, capsys):
    shard = the_only(run / "zoo" / "weights", "*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-100])
    before = everything(run / "zoo")
    words = ["train", "tiny", "--out", tmp_path / "new", "--zoo.path", run / "zoo"]
    assert refused(words, capsys, shard.name, "truncated or damaged").startswith("error: ")
    assert everything(run / "zoo") == before
    assert not (tmp_path / "new").exists()


def test_evaluate_does_not_make_a_zoo(run, capsys):
    shutil.rmtree(run / "zoo")
    refused(["evaluate", run], capsys, "is missing", f"weightspace train tiny --config {run / 'config.yaml'}")
    assert not (run / "zoo").exists()


def test_a_truncated_index_part_is_named(run, capsys):
    part = the_only(run / "zoo" / "index", "*.parquet")
    part.write_bytes(part.read_bytes()[:-50])
    refused(["zoo", "info", run / "zoo"], capsys, part.name, "damaged")


def test_a_truncated_manifest_is_named(run, capsys):
    manifest = run / "zoo" / "zoo.json"
    manifest.write_text(manifest.read_text()[:40])
    refused(["zoo", "info", run / "zoo"], capsys, "zoo.json", "cannot be read")


def test_weights_of_a_zoo_that_are_not_numbers_are_named(run, capsys, monkeypatch):
    monkeypatch.chdir(run.parent)
    for shard in (run / "zoo" / "weights").rglob("*.safetensors"):
        params = load_file(shard)
        params["layers.1.bias"][:, 2] = float("nan")
        save_file(params, shard, metadata=_metadata(shard))
    words = ["train", "tiny", "--out", "new", "--zoo.path", run / "zoo"]
    refused(words, capsys, "damaged or were replaced")
    for index in (run / "zoo" / "index").glob("*.parquet"):  # as in a zoo of a version that took no samples
        table = pq.read_table(index)
        kept = {key: value for key, value in table.schema.metadata.items() if key != b"weights_sample"}
        pq.write_table(table.replace_schema_metadata(kept), index)
    refused(words, capsys, "not finite", "'layers.1.bias'")


def _metadata(path):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return file.metadata()


def test_the_same_command_repairs_a_damaged_zoo(run, capsys):
    before = everything(run / "zoo")
    shard = the_only(run / "zoo" / "weights", "*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-100])
    assert main(["zoo", "make", "tiny_zoo", "--out", str(run / "zoo")]) == 0
    assert "in[64] | h0[4] S4 x sign | out[10]" in capsys.readouterr().out
    assert everything(run / "zoo") == before


# Runs


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    refused(["evaluate", tmp_path], capsys, "is no run", "weightspace train")
    refused(["report", tmp_path], capsys, "was not evaluated yet", f"weightspace evaluate {tmp_path}")


@pytest.mark.parametrize("words", [["evaluate"], ["apply"]])
def test_a_corrupt_checkpoint_is_named(run, capsys, words):
    path = run / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    more = [run / "net.safetensors", "--out", run / "new.safetensors"] if words == ["apply"] else []
    refused([*words, run, *more], capsys, "checkpoint.safetensors", "not a readable safetensors file")


def test_a_corrupt_training_state_is_named(run, capsys):
    path = run / "resume.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    refused(["train", "tiny", "--out", run], capsys, "resume.safetensors", "not a readable safetensors file")


def test_a_method_that_was_not_computed_is_computed_and_the_others_are_kept(run, capsys):
    before = everything(run / "cells")
    (run / "cells" / "constant.json").unlink()
    assert main(["evaluate", str(run)]) == 0
    assert set(everything(run / "cells")) == set(before)
    assert "constant output" in capsys.readouterr().out


# Places that cannot be written


@pytest.mark.parametrize("verb", [["zoo", "make", "tiny_zoo"], ["train", "tiny"], ["demo"]])
def test_a_place_below_a_file_is_refused(verb, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("mine")
    assert refused([*verb, "--out", file / "new"], capsys, str(file)).startswith("error: ")
    assert file.read_text() == "mine"


@pytest.mark.parametrize("verb", [["zoo", "make", "tiny_zoo"], ["train", "tiny"], ["demo"]])
def test_no_permission_to_write_is_refused(verb, tmp_path, capsys, monkeypatch):
    no_permission(monkeypatch)
    refused([*verb, "--out", tmp_path / "new"], capsys, "Permission denied")


@pytest.mark.parametrize("verb", [["zoo", "make", "tiny_zoo"], ["train", "tiny"], ["demo"]])
def test_a_full_disk_leaves_nothing_half_written_and_the_same_command_continues(verb, tmp_path, capsys):
    words = [*verb, "--out", str(tmp_path / "new")]
    with pytest.MonkeyPatch.context() as patch:
        full_disk(patch)
        refused(words, capsys, "No space left on device")
    assert [name for name in everything(tmp_path) if not name.endswith(".lock")] == []
    assert main(words) == 0


def test_a_full_disk_during_evaluation_keeps_the_old_table(run, capsys, monkeypatch):
    (run / "cells" / "constant.json").unlink()
    before = everything(run)
    full_disk(monkeypatch)
    refused(["evaluate", run], capsys, "No space left on device")
    assert everything(run) == before
