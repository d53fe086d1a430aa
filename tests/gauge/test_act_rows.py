"""Rows of a moved parameter are those of the whole one, and no other rows than theirs are read."""

import pytest
import torch
from general_specs import TEXTS
from hypothesis import given
from specs import seeds, specs

from weightspace.gauge import act, act_rows, sample
from weightspace.spec import SymmetrySpec, parse
from weightspace.testing import random_params


def check(spec: SymmetrySpec, seed: int) -> None:
    params = {name: value[0] for name, value in random_params(spec, 1, seed=seed, dtype=torch.float64).items()}
    element = sample(spec, seed)
    moved = act(element, params, spec)
    for name, value in params.items():
        if not value.ndim:
            continue
        blocked = any(part.over is not None for axis in spec.axes[name] for part in axis.parts)
        part = act_rows(element, spec, name)
        for start in range(0, len(value), 2):
            rows = range(start, min(start + 2, len(value)))
            asked: list[int] = []

            def read(index: torch.Tensor, value: torch.Tensor = value, asked: list[int] = asked) -> torch.Tensor:
                asked.extend(index.tolist())
                return value[index]

            torch.testing.assert_close(part(rows, read), moved[name][rows.start : rows.stop])
            assert len(asked) == (len(value) if blocked else len(rows))


@given(spec=specs(), seed=seeds)
def test_rows_of_the_action_are_the_action(spec, seed):
    check(spec, seed)


@pytest.mark.parametrize("text", TEXTS)
def test_rows_of_the_action_are_the_action_for_every_kind_of_axis(text):
    check(parse(TEXTS[text]), 1)
