"""The text notation reads back what it prints, and names the line it cannot read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightspace import SpecError
from weightspace.spec import Axis, NeuronSpace, SymmetrySpec, parse, to_text

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
sizes = st.integers(1, 300)


@st.composite
def specs(draw: st.DrawFn) -> SymmetrySpec:
    """Any spec of a few spaces and parameters."""
    spaces = []
    for name in draw(st.lists(names, unique=True, max_size=5)):
        fixed = draw(st.booleans())
        scale = "trivial" if fixed else draw(st.sampled_from(["trivial", "sign", "positive", "nonzero"]))
        spaces.append(NeuronSpace(name, draw(sizes), scale, fixed))
    axes = st.builds(Axis, st.none(), st.just(0), sizes)
    if spaces:
        known = st.sampled_from([space.name for space in spaces])
        axes |= st.builds(Axis, known, st.integers(-3, 3), sizes)
    paths = st.lists(names, min_size=1, max_size=3).map(".".join)
    params = draw(st.lists(st.tuples(paths, st.lists(axes, max_size=4).map(tuple)), unique_by=lambda item: item[0]))
    return SymmetrySpec(tuple(spaces), tuple(params))


@given(spec=specs())
def test_text_reads_back_to_the_same_spec(spec: SymmetrySpec) -> None:
    back = parse(to_text(spec))
    assert back == spec
    assert hash(back) == hash(spec)
    assert to_text(back) == to_text(spec)


@given(spec=specs(), other=specs())
def test_specs_are_equal_exactly_if_their_texts_are(spec: SymmetrySpec, other: SymmetrySpec) -> None:
    assert (spec == other) == (to_text(spec) == to_text(other))
    assert {spec: 1}.get(other) == (1 if spec == other else None)


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
]


@pytest.mark.parametrize(("text", "message"), UNREADABLE)
def test_bad_text_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(text)
