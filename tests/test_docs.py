"""The Python lines of the documentation run and print what the pages say."""

import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["docs/conventions.md", "docs/gauge_freedom.md", "docs/notation.md", "README.md"])
def test_the_page_runs(page):
    failed, tried = doctest.testfile(str(ROOT / page), module_relative=False, encoding="utf-8")
    assert tried > 0
    assert failed == 0
