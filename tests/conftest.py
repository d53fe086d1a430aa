"""Shared test settings: reproducible draws without a time limit per example (the first call is cold); tiny zoos."""

import gc
import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from typed_calls import check_again

settings.register_profile("weightspace", deadline=None, derandomize=True, max_examples=6)
settings.load_profile("weightspace")

# A suite of small tests is many times faster on one thread; data paths come from options only.
torch.set_num_threads(1)
os.environ.pop("WEIGHTSPACE_DATA", None)


def pytest_collection_finish() -> None:
    """Four thousand tests and all modules live to the end: the garbage collector need not look at them again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="module", autouse=True)
def _types_are_checked_again() -> None:
    check_again()


@pytest.fixture(autouse=True)
def _draws_do_not_depend_on_other_tests() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def zoo_dir(tmp_path_factory) -> Path:
    """A zoo of MLPs; read only."""
    return _made(tmp_path_factory, "tiny_zoo")


@pytest.fixture(scope="session")
def inr_dir(tmp_path_factory) -> Path:
    """A zoo of INRs; read only."""
    return _made(tmp_path_factory, "tiny_inr_zoo")


def _made(tmp_path_factory, recipe: str) -> Path:
    # Imported late: types of the library are checked only if it is imported after these settings.
    import tiny_runs

    from weightspace.zoo import make_zoo

    path = tmp_path_factory.mktemp("zoo") / recipe
    make_zoo(getattr(tiny_runs, recipe)(), path)
    return path
