"""Shared test settings: reproducible hypothesis draws, no time limit per example (the first call is cold)."""

import os

import torch
from hypothesis import settings
from typed_calls import check_again

settings.register_profile("weightspace", deadline=None, derandomize=True, max_examples=10)
settings.load_profile("weightspace")

# A suite of small tests is many times faster on one thread; data paths come from options only.
torch.set_num_threads(1)
os.environ.pop("WEIGHTSPACE_DATA", None)


def pytest_runtest_setup() -> None:
    check_again()
