"""An audit passes metanetworks that respect the gauge, and says for the others which law fails where."""

import json

import pytest
import small_metanets as nets
import torch
from hypothesis import given, settings
from specs import seeds, specs

from weightspace import ConfigError, act, parse, sample
from weightspace.audit import audit
from weightspace.audit._subgroups import subgroups
from weightspace.testing import random_params

SPEC = parse(nets.SPEC)


def laws(report):
    return {(row.space, row.group): row.passed for row in report.rows if row.member}


@pytest.mark.parametrize("make", [nets.functional, nets.operator])
def test_a_metanetwork_that_respects_the_gauge_passes_and_notices_what_is_not_in_it(make):
    report = audit(make(SPEC), SPEC)
    assert report.passed
    assert report.failures == ()
    assert set(laws(report)) == {
        ("h0", "permutation"),
        ("h0", "positive scale"),
        ("h1", "permutation"),
        ("h1", "sign"),
        ("all", "all"),
    }
    controls = {(row.space, row.group) for row in report.rows if not row.member}
    assert {("h0", "sign"), ("h1", "positive scale"), ("out", "permutation"), ("in", "sign")} <= controls
    assert all(row.passed for row in report.rows)
    assert all(row.plain > 1e-3 for row in report.rows)


@pytest.mark.parametrize("make", [nets.broken, nets.broken_operator])
def test_what_is_broken_is_named_by_space_and_group_and_the_rest_holds(make):
    report = audit(make(SPEC), SPEC)
    failing = {place for place, passed in laws(report).items() if not passed}
    assert failing == {("h0", "positive scale"), ("h1", "sign"), ("all", "all")}
    assert any("the positive scale of h0" in text for text in report.failures)
    assert any("the whole gauge" in text for text in report.failures)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (nets.constant, "hardly depend on the network"),
        (nets.nothing, "hardly depend on the network"),
        (nets.unchanged, "hardly changes the networks"),
        (nets.shrunk, "no change from outside the spec was noticed"),
        (nets.random_answers, "called twice"),
        (nets.not_finite, "not finite"),
    ],
)
def test_a_dead_metanetwork_is_flagged_although_the_laws_hold(make, said):
    report = audit(make(SPEC), SPEC)
    assert not report.passed
    assert any(said in text for text in report.failures)


@pytest.mark.parametrize(
    ("make", "said"),
    [(nets.wrong_input, "cannot read 4 stacked networks"), (nets.wrong_output, r"returns shape \[3\]")],
)
def test_what_is_no_metanetwork_is_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        audit(make(SPEC), SPEC)


def test_specs_with_normalizations_and_blocks_are_audited_too():
    spec = parse(nets.BATCH_NORM)
    report = audit(nets.ByStatistics(), spec)
    assert report.passed, str(report)
    places = {("x", "permutation"), ("a", "permutation"), ("q", "permutation"), ("y", "positive scale")}
    assert places <= set(laws(report))
    wrong = laws(audit(nets.ByStatistics(), parse(nets.BATCH_NORM.replace("x^2@1e-05", "x@1e-05"))))
    assert {place for place, passed in wrong.items() if not passed} == {("x", "positive scale"), ("all", "all")}


def test_the_module_is_left_as_it_was():
    model = nets.functional(SPEC)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    audit(model, SPEC)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.dtype == torch.float32 for value in model.parameters())


def test_a_report_is_text_and_json():
    report = audit(nets.not_finite(SPEC), SPEC)
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["passed"] is False
    assert "plain reader" in str(report)
    assert all(text in str(report) for text in report.failures)


@settings(max_examples=10)
@given(spec=specs(), seed=seeds)
def test_the_parts_of_the_gauge_change_their_own_space_only(spec, seed):
    ones = random_params(spec, 2, seed=seed, dtype=torch.float64)
    for part in subgroups(spec):
        if not part.member or part.space == "all":
            continue
        element = sample(part.spec, seed, num=2)
        # Read as elements of the whole gauge they do the same.
        moved, whole = act(element, ones, part.spec), act(element, ones, spec)
        for name, axes in spec.params:
            torch.testing.assert_close(moved[name], whole[name])
            if all(axis.space != part.space for axis in axes):
                assert torch.equal(moved[name], ones[name])
