"""A run trained and evaluated on the tiny zoo, made once for all tests."""

import shutil
from pathlib import Path

import pytest
from tiny_runs import tiny_run

from weightspace.run import evaluate, train


@pytest.fixture(scope="session")
def evaluated(zoo_dir, tmp_path_factory) -> Path:
    """Folder of a trained and evaluated run; read only."""
    folder = tmp_path_factory.mktemp("run") / "tiny"
    train(tiny_run(zoo_dir), folder)
    evaluate(folder)
    return folder


@pytest.fixture
def run_dir(evaluated, tmp_path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(evaluated, tmp_path / "run"))
