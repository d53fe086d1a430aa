"""The shipped test kit notices what it is there to notice: broken laws, dead models, NaN."""

import pytest
import torch
from hypothesis import given
from specs import seeds, specs

from weightspace.gauge import act, sample
from weightspace.spec import parse
from weightspace.testing import (
    assert_equivariant,
    assert_invariant,
    equivariance_error,
    invariance_error,
    random_params,
)

SPEC = parse("in[3] fixed\nh0[4] sign\nout[2] fixed\n\nomega\na h0 in~\nb h0\nc out h0~\nd out")


def energy(params):
    """Sums of squares per tensor: invariant under signs and permutations."""
    return torch.stack([params[name].square().reshape(len(params[name]), -1).sum(1) for name in SPEC.axes], -1)


def shrink(params):
    return {name: 0.9 * value for name, value in params.items()}


def test_lawful_models_pass():
    assert_invariant(energy, SPEC)
    assert_equivariant(shrink, SPEC)
    assert_equivariant(shrink, SPEC, random_params(SPEC, 3), tolerance=1e-6)


def test_a_model_that_reads_signs_fails():
    with pytest.raises(AssertionError, match="not invariant: the gauge changes the output"):
        assert_invariant(lambda p: p["b"].sum(1, keepdim=True), SPEC)
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(lambda p: {name: value + 0.1 for name, value in p.items()}, SPEC)


def test_a_constant_model_fails():
    with pytest.raises(AssertionError, match="hardly depends on the network"):
        assert_invariant(lambda p: torch.ones(len(p["b"]), 2), SPEC)
    with pytest.raises(AssertionError, match="hardly changes the networks"):
        assert_equivariant(lambda p: {name: value.clone() for name, value in p.items()}, SPEC)


def test_a_nearly_constant_model_fails():
    with pytest.raises(AssertionError, match="hardly depends on the network"):
        assert_invariant(lambda p: 1.0 + 1e-4 * energy(p), SPEC)


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_a_nan_in_any_tensor_fails(name):
    with pytest.raises(AssertionError, match="equivarian"):
        assert_equivariant(lambda p: shrink(p) | {name: p[name] * float("nan")}, SPEC)
    with pytest.raises(AssertionError):
        assert_invariant(lambda p: energy(p) * float("nan"), SPEC)


def test_errors_are_relative_to_the_spread():
    params, element = random_params(SPEC, 4, dtype=torch.float64), sample(SPEC, 1, num=4)

    def leaning(p):
        return 100.0 + energy(p) + 1e-3 * p["b"].sum(1, keepdim=True)

    error, spread = invariance_error(leaning, SPEC, params, element)
    here = leaning(params)
    assert error == pytest.approx(float((here - leaning(act(element, params, SPEC))).abs().max()))
    assert spread == pytest.approx(float((here - here.roll(1, 0)).abs().max()))


def test_changes_are_measured_against_the_parameters():
    worst, change = equivariance_error(shrink, SPEC, random_params(SPEC, 4, dtype=torch.float64))
    assert worst <= 1e-15
    assert change == pytest.approx(0.1)


@given(spec=specs(), seed=seeds)
def test_random_networks_fit_their_spec_and_are_reproducible(spec, seed):
    params = random_params(spec, 3, seed=seed)
    assert spec.check(params) == 3
    again = random_params(spec, 3, seed=seed)
    assert all(torch.equal(params[name], again[name]) for name in params)
    assert {value.dtype for value in params.values()} == {torch.float32}
