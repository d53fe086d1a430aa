"""Bad sizes, number types and architectures are refused in one sentence with the line to type next."""

import pytest
import torch
from metanets import mlp

from weightspace import ConfigError, SpecError, SpecMismatch
from weightspace.gauge import sample, stack
from weightspace.nn import EquivariantOperator, InvariantFunctional
from weightspace.nn._checks import check_choice
from weightspace.spec import parse
from weightspace.testing import random_params

SPEC = mlp("positive")


@pytest.mark.parametrize("option", ["width", "rounds", "out"])
def test_a_size_below_one_is_refused(option):
    with pytest.raises(ConfigError, match=f"{option}=0"):
        InvariantFunctional(SPEC, **{option: 0})


def test_an_unknown_choice_lists_the_known_ones():
    # In the tests the shape checker refuses it first; users run without.
    with pytest.raises(ConfigError, match=r"direction='backward' is unknown.*Choose one of 'forward', 'bidirectional'"):
        check_choice("direction", "backward", ("forward", "bidirectional"))


def test_another_number_type_is_refused_with_the_conversion():
    with pytest.raises(SpecMismatch, match=r"float64.*float32.*model\.to\(torch\.float64\)"):
        EquivariantOperator(SPEC, 4, rounds=1)(random_params(SPEC, 2, dtype=torch.float64))


def test_an_architecture_without_weights_is_refused():
    with pytest.raises(SpecError, match="nothing to read"):
        InvariantFunctional(parse("in[3] fixed\n\nscale .3\n"))


def test_a_single_network_is_refused_with_the_line_that_stacks_it():
    one = {name: value[0] for name, value in random_params(SPEC, 1).items()}
    with pytest.raises(SpecMismatch, match="Stack it"):
        EquivariantOperator(SPEC, 4, rounds=1)(one)


def test_stacking_nothing_or_strangers_is_refused():
    with pytest.raises(SpecMismatch, match="no network to stack"):
        stack([])
    with pytest.raises(SpecMismatch, match="network 1 differs from network 0 at parameter 'a'"):
        stack([{"a": torch.zeros(2)}, {"a": torch.zeros(3)}])


def test_scales_need_a_range():
    with pytest.raises(ConfigError, match="max_scale is -1"):
        sample(SPEC, max_scale=-1.0)
