"""pytest plugin: the fixture ``weightspace_audit``. It stands outside the package, whose import would load torch.

def test_my_metanetwork_respects_the_gauge(weightspace_audit):
    weightspace_audit(MyMetanetwork(spec), spec)
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from weightspace import SymmetrySpec
    from weightspace.audit import Report


@pytest.fixture
def weightspace_audit() -> "Callable[..., Report]":
    """A function that fails the test, with the table of :func:`weightspace.audit.audit`, unless all laws hold.

    It takes a metanetwork, the spec (or its text) and ``seed=0``, and returns the report.
    """

    def check(metanetwork: Any, spec: "SymmetrySpec | str", *, seed: int = 0) -> "Report":
        from weightspace import parse
        from weightspace.audit import audit

        report = audit(metanetwork, parse(spec) if isinstance(spec, str) else spec, seed=seed)
        if not report.passed:
            pytest.fail(f"the laws of the gauge do not hold\n{report}", pytrace=False)
        return report

    return check
