"""Whatever is malformed comes back as a WeightSpaceError; `benchmarks/fuzz.py` tries thousands of inputs more."""

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from fuzz_inputs import KINDS, try_one

_DRAWS = 200


@pytest.mark.parametrize("kind", KINDS)
def test_malformed_input_is_one_clear_error(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused: list[bool] = []

    @settings(
        max_examples=_DRAWS // len(KINDS),
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(data=st.data())
    def each(data: Any) -> None:
        refused.append(not try_one(kind, data.draw(KINDS[kind][0])))

    each()
    assert len(refused) >= 20
    assert any(refused), "some of it is malformed"
    assert not list(tmp_path.iterdir()), "nothing is written"
