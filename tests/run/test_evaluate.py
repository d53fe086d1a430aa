"""The table is filled method by method; what is missing says *not run*, what is stale is computed again."""

import json

import numpy as np
import pytest
from tiny_runs import tiny_run

from weightspace import ConfigError
from weightspace.run import evaluate, record, train
from weightspace.run.config import Distill
from weightspace.run.evaluate import PRUNED

METHODS = ["input", "ours", "broken", "constant", "refit", "sgd-1", "adam-2", "adam-equal"]


def results(folder):
    return json.loads((folder / "results.json").read_text())


def rows(folder):
    return {row["method"]: row for row in results(folder)["rows"]}


def test_every_row_of_the_table_is_complete(evaluated):
    table = rows(evaluated)
    assert list(table) == METHODS
    for name, row in table.items():
        assert row["status"] == "done"
        for column in ("accuracy", "loss", "objective", "agreement", "input_dependence"):
            assert row[column]["low"] <= row[column]["mean"] + 1e-9
            assert row[column]["mean"] <= row[column]["high"] + 1e-9
        assert set(row["pruned_accuracy"]) == {str(share) for share in PRUNED}
        assert set(row["zeros"]) == {"1e-3", "1e-2"}
        assert (row["loss_drop"] is None) == (name == "input")
        assert np.isclose(np.mean(row["per_network_accuracy"]), row["accuracy"]["mean"])
        assert row["needs_data"] == (name in ("refit", "sgd-1", "adam-2", "adam-equal"))


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
    timed = ("seconds_per_network", "detail")
    for name in set(METHODS) - {"adam-equal"}:
        now, before = rows(run_dir)[name], full[name]
        assert {k: v for k, v in now.items() if k not in timed} == {k: v for k, v in before.items() if k not in timed}


def test_rows_of_an_operator_trained_further_are_computed_again(run_dir):
    other, _ = record.load_tensors(run_dir / "broken" / record.CHECKPOINT)
    _, metadata = record.load_tensors(run_dir / record.CHECKPOINT)
    kept = (run_dir / "cells" / "sgd-1.json").stat().st_mtime_ns
    before = (run_dir / "cells" / "ours.json").read_text()
    record.save_tensors(run_dir / record.CHECKPOINT, other, metadata)
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
    train(tiny_run(zoo_dir, objective=Distill(l1=1e-2)), tmp_path)
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
