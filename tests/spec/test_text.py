"""The text notation reads back what it prints, and names the line it cannot read."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightspace import SpecError
from weightspace.spec import Axis, NeuronSpace, ScaleName, SymmetrySpec, parse, to_text

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
sizes = st.integers(1, 60)


Drawn = tuple[list[tuple[str, int, str, bool]], list[tuple[str, list[tuple[str | None, int, int]]]]]


@st.composite
def parts(draw: st.DrawFn) -> Drawn:
    """The parts of any spec of a few spaces and parameters, as plain data."""
    words = st.sampled_from([("trivial", True), *((scale, False) for scale in get_args(ScaleName))])
    spaces = [(name, draw(sizes), *draw(words)) for name in draw(st.lists(names, unique=True, max_size=5))]
    axes = st.tuples(st.none(), st.just(0), sizes)
    if spaces:
        axes |= st.tuples(st.sampled_from([space[0] for space in spaces]), st.integers(-3, 3), sizes)
    paths = st.lists(names, min_size=1, max_size=3).map(".".join)
    return spaces, draw(st.lists(st.tuples(paths, st.lists(axes, max_size=4)), unique_by=lambda param: param[0]))


def spec_of(drawn: Drawn) -> SymmetrySpec:
    spaces, params = drawn
    return SymmetrySpec(
        tuple(NeuronSpace(*space) for space in spaces),
        tuple((name, tuple(Axis(*axis) for axis in axes)) for name, axes in params),
    )


@given(drawn=parts())
def test_text_reads_back_to_the_same_spec(drawn: Drawn) -> None:
    spec = spec_of(drawn)
    back = parse(to_text(spec))
    assert back == spec
    assert hash(back) == hash(spec)
    assert to_text(back) == to_text(spec)


@given(drawn=parts(), other=parts())
def test_specs_are_equal_exactly_if_their_texts_are(drawn: Drawn, other: Drawn) -> None:
    here, there = spec_of(drawn), spec_of(other)
    assert (here == there) == (to_text(here) == to_text(there))
    assert {here: 1}.get(there) == (1 if here == there else None)


def test_blank_lines_and_indents_do_not_matter() -> None:
    spec = parse("in[2] fixed\nh0[3] sign\n\n0.weight h0 in~\n")
    assert parse("\n  in[2]   fixed\n\nh0[3] sign\n  0.weight   h0  in~ ") == spec
    assert parse("") == SymmetrySpec((), ())


UNREADABLE = [
    ("h0[3]\n\n0.weight h0 -3", r"line 3 of the spec, '0.weight h0 -3': cannot read the axis '-3'"),
    ("h0[3]\n\n0.weight h0* .", r"cannot read the axis 'h0\*'"),
    ("h0[3]\n\n0.weight h0 .", r"cannot read the axis '\.'"),
    ("h0[3]\n\n0.weight h1 h0~", r"parameter '0.weight' has an axis of space 'h1', which is not among .*'h0'"),
    ("h0[3]\nh0[4]\n\n0.weight h0", r"neuron spaces must have different names, got \['h0', 'h0'\]"),
    ("h0[3]\n\n0.bias h0\n0.bias h0", r"parameters must have different names"),
    ("h0[3]\n\nw h0@e", r"line 3 of the spec, 'w h0@e': the offset '@e' is no number"),
    ("h0[3]\n\nw h0@--1", r"the offset '@--1' is no number"),
    ("h0[3]\n\nw h0@1e999", r"the offset '@1e999' is no number"),
    (f"h0[{'9' * 5000}]", r"line 1 of the spec, .*: the number '9+\.\.\.' is too large"),
    (f"h0[3]\n\nw h0*{'9' * 5000}", r"is too large"),
    (f"h0[3]\n\nw h0^{'9' * 5000}", r"is too large"),
    (f"h0[3]\n\nw h0{{{'9' * 5000}}}", r"is too large"),
    ("h0[999999999999]", r"space 'h0' has 999999999999 neurons"),
    ("h0[3]\n\nw h0^900", r"axis of power 900"),
    ("h0[3]\n\nw h0 .999999999 .999999999", r"parameter 'w' would fit into no memory"),
]


@pytest.mark.parametrize(("text", "message"), UNREADABLE)
def test_bad_text_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(text)
