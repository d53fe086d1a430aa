"""The table is filled method by method; what is missing says *not run*, what is stale is computed again."""

import json
import shutil

import numpy as np
import pytest
from tiny_runs import tiny_run, tiny_task, tiny_zoo

from weightspace import ConfigError
from weightspace.files import atomic
from weightspace.run import evaluate, record, train
from weightspace.run.config import ZooRef, from_yaml, to_yaml
from weightspace.tasks import CrossEntropy, Distill
from weightspace.tasks.improve._measure import PRUNED
from weightspace.zoo import make_zoo

FACTORS = ["global-scale", "calibrated"]
DATA = ["refit", "sgd-1", "adam-2", "adam-equal"]
METHODS = ["input", "ours", *FACTORS, "broken", "constant", *DATA]


@pytest.fixture(scope="module")
def relu_zoo(tmp_path_factory):
    path = tmp_path_factory.mktemp("zoo") / "relu"
    make_zoo(tiny_zoo("relu"), path)
    return path


def results(folder):
    return json.loads((folder / "results.json").read_text())


def rows(folder):
    return {row["method"]: row for row in results(folder)["rows"]}


def test_every_row_of_the_table_is_complete(evaluated):
    table = rows(evaluated)
    assert list(table) == METHODS
    for name, row in table.items():
        assert row["status"] == "done"
        for column in ("accuracy", "loss", "loss_calibrated", "objective", "agreement", "input_dependence"):
            assert row[column]["low"] <= row[column]["mean"] + 1e-9
            assert row[column]["mean"] <= row[column]["high"] + 1e-9
        assert set(row["pruned_accuracy"]) == {str(share) for share in PRUNED}
        assert set(row["zeros"]) == {"1e-3", "1e-2"}
        assert (row["loss_drop"] is None) == (name == "input")
        assert np.isclose(np.mean(row["per_network_accuracy"]), row["accuracy"]["mean"])
        assert row["needs_data"] == (name in ("calibrated", *DATA))


def test_the_constant_output_has_no_input_dependence_and_the_input_agrees_with_itself(evaluated):
    table = rows(evaluated)
    assert table["constant"]["input_dependence"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert table["input"]["agreement"]["mean"] == 1.0
    assert table["input"]["l1_cut"] == 0.0


def test_what_the_results_say_about_the_run(evaluated):
    found = results(evaluated)
    assert (found["recipe"], found["activation"], found["images"]) == ("tiny", "tanh", "digits")
    assert found["num_networks"] == {"train": 32, "val": 4, "test": 4}
    assert len(found["test_runs"]) == 4
    assert "| operator (ours) |" in (evaluated / "results.md").read_text()


def test_an_interrupted_evaluation_says_not_run_and_continues(run_dir):
    full = rows(run_dir)
    for cell in (run_dir / "cells").iterdir():
        cell.unlink()
    evaluate(run_dir, only=("input", "refit"))
    partial = rows(run_dir)
    assert [name for name, row in partial.items() if row["status"] == "done"] == ["input", "refit"]
    assert (run_dir / "results.md").read_text().count("*not run*") > 0
    kept = (run_dir / "cells" / "refit.json").stat().st_mtime_ns
    evaluate(run_dir)
    assert (run_dir / "cells" / "refit.json").stat().st_mtime_ns == kept
    assert "not run" not in (run_dir / "results.md").read_text()
    timed = ("seconds_per_network", "detail", "commit")
    for name in set(METHODS) - {"adam-equal"}:
        now, before = rows(run_dir)[name], full[name]
        assert {k: v for k, v in now.items() if k not in timed} == {k: v for k, v in before.items() if k not in timed}


def test_rows_of_an_operator_trained_further_are_computed_again(run_dir):
    other, _ = atomic.load_tensors(run_dir / "broken" / record.CHECKPOINT)
    _, metadata = atomic.load_tensors(run_dir / record.CHECKPOINT)
    kept = (run_dir / "cells" / "sgd-1.json").stat().st_mtime_ns
    before = (run_dir / "cells" / "ours.json").read_text()
    atomic.save_tensors(run_dir / record.CHECKPOINT, other, metadata)
    evaluate(run_dir)
    assert (run_dir / "cells" / "ours.json").read_text() != before
    assert (run_dir / "cells" / "sgd-1.json").stat().st_mtime_ns == kept


def test_without_a_checkpoint_only_the_rows_of_the_operator_are_missing(run_dir):
    (run_dir / record.CHECKPOINT).unlink()
    (run_dir / "cells" / "ours.json").unlink()
    evaluate(run_dir)
    missing = [name for name, row in rows(run_dir).items() if row["status"] == "not run"]
    assert missing == ["ours", "adam-equal"]


def test_the_sparse_table_has_pruning_and_an_l1_cut(zoo_dir, tmp_path):
    train(tiny_run(zoo_dir, task=tiny_task(objective=Distill(l1=1e-2))), tmp_path)
    evaluate(tmp_path, only=("input", "magnitude-50"))
    row = rows(tmp_path)["magnitude-50"]
    assert row["l1_cut"] > 0.05
    assert row["zeros"]["1e-3"] >= 0.49
    assert abs(row["accuracy"]["mean"] - rows(tmp_path)["input"]["pruned_accuracy"]["50"]) < 1e-6


def test_unknown_methods_and_folders_are_refused(evaluated, tmp_path):
    with pytest.raises(ConfigError, match="unknown method 'adm'"):
        evaluate(evaluated, only=("adm",))
    with pytest.raises(ConfigError, match="is no run"):
        evaluate(tmp_path)


def test_a_factor_on_the_logits_changes_no_prediction_and_its_gain_disappears_after_calibration(evaluated):
    table = rows(evaluated)
    for name in FACTORS:
        row = table[name]
        assert row["agreement"]["mean"] == 1.0
        assert row["per_network_accuracy"] == table["input"]["per_network_accuracy"]
        assert abs(row["loss_calibrated_drop"]["mean"]) < 1e-4
    assert np.isclose(table["calibrated"]["loss"]["mean"], table["calibrated"]["loss_calibrated"]["mean"], atol=1e-4)
    assert table["global-scale"]["detail"]["factor"] > 0


def test_the_best_network_is_chosen_on_validation_images(run_dir):
    path = run_dir / "cells" / "sgd-1.json"
    cell = json.loads(path.read_text())
    cell["validation_accuracy"] = [0.1, 0.9, 0.2, 0.3]
    cell["accuracy"] = [0.8, 0.4, 0.5, 0.6]
    path.write_text(json.dumps(cell))
    evaluate(run_dir)
    assert rows(run_dir)["sgd-1"]["accuracy"]["max"] == 0.4


def test_learning_rates_at_the_edge_of_their_grid_are_recorded_and_shown(evaluated):
    table = rows(evaluated)
    for name in ("sgd-1", "adam-2", "adam-equal"):
        detail = table[name]["detail"]
        tried = {float(rate): loss for rate, loss in detail["tried"].items() if loss is not None}
        assert len(detail["tried"]) == 5
        assert detail["learning_rate"] == min(tried, key=lambda rate: tried[rate])
        rates = sorted(map(float, detail["tried"]))
        assert (detail["edge"] is None) == (detail["learning_rate"] not in (rates[0], rates[-1]))
    text = (evaluated / "results.md").read_text()
    assert f"SGD, 1 epoch: {table['sgd-1']['detail']['learning_rate']:g}" in text
    assert ("edge of its grid" in text) == any(row["detail"].get("edge") for row in table.values())


def test_rates_that_diverge_are_dropped(run_dir):
    config = from_yaml(run_dir / record.CONFIG)
    table = config.task.table.model_copy(update={"sgd_epochs": (2,), "sgd_learning_rates": (1e6, 0.1, 0.03)})
    changed = config.model_copy(update={"task": config.task.model_copy(update={"table": table})})
    atomic.write_text(run_dir / record.CONFIG, to_yaml(changed))
    evaluate(run_dir, only=("sgd-2",))
    detail = rows(run_dir)["sgd-2"]["detail"]
    assert detail["tried"]["1e+06"] is None
    assert detail["learning_rate"] in (0.1, 0.03)
    assert "(1e+06 diverged)" in (run_dir / "results.md").read_text()


def test_adam_at_the_operators_seconds_is_computed_again_when_the_operator_is_timed_again(run_dir):
    path = run_dir / "cells" / "ours.json"
    cell = json.loads(path.read_text())
    before = rows(run_dir)["adam-equal"]["detail"]["operator_seconds"]
    path.write_text(json.dumps(cell | {"seconds_per_network": 2 * before}))
    evaluate(run_dir)
    row = rows(run_dir)["adam-equal"]
    assert row["detail"]["operator_seconds"] == 2 * before
    assert row["label"].startswith("Adam, about the operator's seconds (")


@pytest.mark.parametrize(
    ("part", "changes", "stale"),
    [
        ("table", {"batch_size": 32}, {"sgd-1", "adam-2", "adam-equal"}),
        ("table", {"sgd_learning_rates": (0.1,)}, {"sgd-1"}),
        ("evaluate", {"max_networks": 3}, set(METHODS)),
        ("train", {"seed": 5}, set(METHODS)),
    ],
)
def test_rows_are_stale_when_the_settings_they_depend_on_change(run_dir, part, changes, stale):
    config = from_yaml(run_dir / record.CONFIG)
    if part == "table":
        part, changes = "task", {"table": config.task.table.model_copy(update=changes)}
    changed = {part: getattr(config, part).model_copy(update=changes)}
    atomic.write_text(run_dir / record.CONFIG, to_yaml(config.model_copy(update=changed)))
    evaluate(run_dir, only=("input",))
    missing = {name for name, row in rows(run_dir).items() if row["status"] == "not run"}
    assert missing == stale - {"input"}


def test_rows_are_stale_when_the_zoo_holds_other_networks_and_fresh_when_it_only_moved(run_dir, tmp_path):
    config = from_yaml(run_dir / record.CONFIG)
    moved = shutil.copytree(str(config.zoo.path), tmp_path / "moved")
    other = tmp_path / "other"
    make_zoo(tiny_zoo().model_copy(update={"seed": 1}), other)
    for place, missing in ((moved, set()), (other, set(METHODS) - {"input"})):
        changed = config.model_copy(update={"zoo": ZooRef(path=str(place))})
        atomic.write_text(run_dir / record.CONFIG, to_yaml(changed))
        # A run that remembers its zoo would refuse the other one.
        (run_dir / "zoo-fingerprint.json").unlink(missing_ok=True)
        evaluate(run_dir, only=("input",))
        assert {name for name, row in rows(run_dir).items() if row["status"] == "not run"} == missing


def test_results_and_cells_name_the_commit_that_evaluated_them(evaluated):
    found = results(evaluated)
    assert {row["commit"].removesuffix("-dirty") for row in found["rows"]} == {found["commit"].removesuffix("-dirty")}
    assert "trained_commit" in found


@pytest.mark.parametrize("kind", ["ce", "distill"])
def test_relu_tables_are_complete_and_say_that_sparsity_depends_on_the_gauge(relu_zoo, tmp_path, kind):
    objective = Distill(l1=1e-3) if kind == "distill" else CrossEntropy()
    train(tiny_run(relu_zoo, task=tiny_task(objective=objective)), tmp_path)
    evaluate(tmp_path)
    table = rows(tmp_path)
    assert {row["status"] for row in table.values()} == {"done"}
    assert ("global-scale" in table) == (kind == "ce")
    assert "magnitude pruning depend on" in (tmp_path / "results.md").read_text()
