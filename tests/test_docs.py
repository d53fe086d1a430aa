"""The Python lines of the documentation run and print what the pages say."""

import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["align", "canonical", "conventions", "derive", "gauge_freedom", "merge", "notation", "orbits"]


@pytest.mark.parametrize("page", [*(f"docs/{name}.md" for name in PAGES), "README.md"])
def test_the_page_runs(page):
    failed, tried = doctest.testfile(str(ROOT / page), module_relative=False, encoding="utf-8")
    assert tried > 0
    assert failed == 0
