"""Specs tell parameters that fit from those that do not, and say what differs first."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from weightspace import SpecError, SpecMismatch
from weightspace.spec import Axis, NeuronSpace, SymmetrySpec, num_parameters, parse

TEXT = """
in[3] fixed
h0[4] positive
out[2] fixed

0.weight  h0 in~ .5 .5
0.bias    h0
omega
3.weight  out h0*9~
"""
SPEC = parse(TEXT)


def params(*lead: int) -> dict[str, Tensor]:
    return {name: torch.zeros((*lead, *SPEC.shape(name))) for name in SPEC.axes}


def test_shapes_and_counts_follow_from_the_axes() -> None:
    assert {name: SPEC.shape(name) for name in SPEC.axes} == {
        "0.weight": (4, 3, 5, 5),
        "0.bias": (4,),
        "omega": (),
        "3.weight": (2, 36),
    }
    assert num_parameters(SPEC) == 300 + 4 + 1 + 72
    assert num_parameters(SPEC, ["0.bias", "omega"]) == 5


def test_a_spec_prints_its_spaces_and_knows_the_free_ones() -> None:
    assert str(SPEC) == "in[3] | h0[4] S4 x positive | out[2]"
    assert repr(SPEC) == f"SymmetrySpec({SPEC})"
    assert [space.name for space in SPEC.free] == ["h0"]
    assert SPEC.space["h0"] == NeuronSpace("h0", 4, "positive")


def test_equal_specs_hash_alike_and_any_change_makes_them_differ() -> None:
    assert parse(TEXT) == SPEC
    assert hash(parse(TEXT)) == hash(SPEC)
    for old, new in [("positive", "sign"), ("in~", "in"), ("*9", "*8"), ("0.bias", "1.bias"), ("out[2]", "out[3]")]:
        assert parse(TEXT.replace(old, new, 1)) != SPEC


@given(num=st.integers(1, 5))
def test_check_counts_the_stacked_networks(num: int) -> None:
    assert SPEC.check(params(num)) == num
    assert SPEC.check(params()) is None


MISMATCHES = [
    ({"0.bias": torch.zeros(5)}, r"'0.bias' has shape \[5\].* needs \[4\] or \[b, 4\]"),
    ({"3.weight": torch.zeros(2, 4)}, r"'3.weight' has shape \[2, 4\].* needs \[2, 36\]"),
    ({"0.bias": torch.zeros(2, 2, 4)}, r"'0.bias' has shape \[2, 2, 4\]"),
    ({"0.bias": torch.zeros(6, 4)}, r"'0.bias' stacks 6 networks, the ones before it no"),
    ({"9.bias": torch.zeros(4)}, r"'9.bias' is not part of this architecture \(in\[3\] .*0.weight, 0.bias"),
]


@pytest.mark.parametrize(("wrong", "message"), MISMATCHES)
def test_check_names_the_first_difference(wrong: dict[str, Tensor], message: str) -> None:
    with pytest.raises(SpecMismatch, match=message):
        SPEC.check(params() | wrong)


def test_check_names_what_is_missing_and_stacks_of_different_height() -> None:
    given = params()
    del given["omega"]
    with pytest.raises(SpecMismatch, match=r"'omega' is missing; .* Got only: 0.weight, 0.bias, 3.weight"):
        SPEC.check(given)
    with pytest.raises(SpecMismatch, match="Got only: nothing"):
        SPEC.check({})
    with pytest.raises(SpecMismatch, match=r"'0.bias' stacks no networks, the ones before it 3"):
        SPEC.check(params(3) | {"0.bias": torch.zeros(4)})


VALUES = [
    ({"0.bias": torch.full((4,), torch.nan)}, r"'0.bias' of it holds values that are not finite \(NaN; 4 of 4\)"),
    ({"omega": torch.tensor(-torch.inf)}, r"'omega' of it holds values that are not finite \(infinity; 1 of 1\)"),
    ({"0.bias": torch.zeros(4, device="meta")}, "'0.bias' of it is on the meta device"),
    ({"0.bias": torch.zeros(4) + 1j}, r"'0.bias' is complex \(torch.complex64\)"),
    ({"0.bias": torch.tensor([0, torch.nan, 0, 0]).to(torch.float8_e4m3fn)}, r"'0.bias' of it .* \(NaN; 1 of 4\)"),
]


@pytest.mark.parametrize(("wrong", "message"), VALUES)
def test_values_that_are_no_finite_real_numbers_are_refused_by_name(wrong: dict[str, Tensor], message: str) -> None:
    assert SPEC.check_values(params(2), of="it") == 2
    with pytest.raises(SpecMismatch, match=message):
        SPEC.check_values(params() | wrong, of="it")


def test_spaces_and_parameters_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(SpecError, match="'w' has an axis of space 'h1'"):
        SymmetrySpec((NeuronSpace("h0", 2),), (("w", (Axis("h1"),)),))
    with pytest.raises(SpecError, match=r"'h' is like 'in', which is fixed .* Write 'ordered'"):
        parse("in[4] fixed\nh[4] like in sign\n\nw h in~")
    assert parse("in[4] fixed\nh[4] ordered sign\n\nw h in~").free
