"""What has no right to a law breaks it, by more than 1e-2 of the spread: the laws are not vacuous."""

import pytest
import torch
from jaxtyping import config
from metanets import BOTH, HALF_THE_CHOICES, Choice, Metanet, build, cnn, double, gauges, mlp, regroup

from weightspace import ConfigError
from weightspace.nn import EquivariantOperator
from weightspace.spec import ScaleName, SymmetrySpec, without_scales
from weightspace.testing import assert_equivariant, assert_invariant, equivariance_error, invariance_error

both = pytest.mark.parametrize("model", BOTH)
half_the_choices = pytest.mark.parametrize(
    "choice", HALF_THE_CHOICES, ids=lambda c: f"{c.direction}-{c.sign}-{c.positive}"
)
SPECS = {
    "mlp-sign": mlp("sign"),
    "mlp-positive": mlp("positive"),
    "cnn-sign": cnn("sign"),
    "cnn-positive": cnn("positive"),
}
every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def law_error(model: Metanet, spec: SymmetrySpec) -> float:
    """Error relative to the spread, as the laws of the library measure it."""
    params, element = double(spec, 4), gauges(spec, 4)
    if isinstance(model, EquivariantOperator):
        return equivariance_error(model, spec, params, element)[0]
    error, spread = invariance_error(model, spec, params, element)
    return error / spread


@both
@half_the_choices
@every_spec
def test_the_symmetry_broken_twin_breaks_the_law(model, choice, spec):
    assert law_error(build(model, spec, choice, symmetry_broken=True), spec) > 1e-2


@both
@every_spec
def test_the_symmetry_broken_twin_still_respects_permutations(model, spec):
    permuted_only = regroup(spec, {"sign": "trivial", "positive": "trivial"})
    assert law_error(build(model, spec, symmetry_broken=True), permuted_only) <= 1e-12


@both
@every_spec
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_the_symmetry_broken_twin_has_as_many_parameters(model, spec, direction):
    choice = Choice(direction, "absolute", "normal_form")
    counts = {
        sum(p.numel() for p in build(model, spec, choice, symmetry_broken=broken).parameters())
        for broken in (False, True)
    }
    assert len(counts) == 1


@both
@half_the_choices
@pytest.mark.parametrize(
    ("truth", "built_for"),
    [
        ("sign", "trivial"),
        ("positive", "trivial"),
        ("positive", "sign"),
        ("nonzero", "positive"),
        ("nonzero", "sign"),
    ],
)
def test_a_model_built_for_a_smaller_group_breaks_the_law(model, choice, truth: ScaleName, built_for: ScaleName):
    spec = mlp(truth)
    assert law_error(build(model, regroup(spec, {truth: built_for}), choice), spec) > 1e-2


@both
@half_the_choices
def test_a_model_built_for_a_larger_group_keeps_the_law(model, choice):
    assert law_error(build(model, mlp("nonzero"), choice), mlp("sign")) <= 1e-12
    assert law_error(build(model, mlp("nonzero"), choice), mlp("positive")) <= 1e-10


def test_a_model_with_silenced_input_is_reported_as_dead():
    spec = mlp("sign")
    functional, operator = (build(model, spec) for model in BOTH)
    with torch.no_grad():
        functional.readout.head[1].second.weight.zero_()
        operator.readout.edge_steps.fill_(1e-5)
    with pytest.raises(AssertionError, match="hardly depends on the network"):
        assert_invariant(functional, spec)
    with pytest.raises(AssertionError, match="hardly changes the networks"):
        assert_equivariant(operator, spec)


def test_normal_form_leaves_permutations_and_signs():
    left = without_scales(mlp("positive", "nonzero"), keep_signs=True)
    assert [space.scale for space in left.spaces] == ["trivial", "trivial", "sign", "trivial"]
    assert without_scales(mlp("sign", "trivial"), keep_signs=True) == mlp("sign", "trivial")


@pytest.fixture
def unchecked_types():
    """Types as in use: without the checks of the test suite, which would refuse a wrong option first."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@both
@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("option", ["direction", "sign", "positive"])
def test_an_unknown_choice_is_refused_by_name(model, option):
    with pytest.raises(ConfigError, match=rf"{option}='none' is unknown for a metanetwork. Choose one of '"):
        model(mlp("sign"), 8, **{option: "none"})
