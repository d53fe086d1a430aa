"""A tiny zoo, and a run trained and evaluated on it, made once for all tests."""

import shutil
from pathlib import Path

import pytest
from tiny_runs import tiny_run, tiny_zoo

from weightspace.run import evaluate, train
from weightspace.zoo import make_zoo


@pytest.fixture(scope="session")
def zoo_dir(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("zoo") / "tanh"
    make_zoo(tiny_zoo(), path)
    return path


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
