"""Functionals of the matrix family are invariant and operators equivariant; what has no right to a law breaks it."""

import pytest
import torch
from hypothesis import given, settings
from matrix_nets import BOTH, Model, build, pulled_back
from metanets import USUAL, cnn, double, gauges, mlp, regroup
from specs import POSITIVE_SCALES, seeds, specs

from weightspace.nn import Architecture, MatrixFamily, MatrixFunctional, MatrixOperator
from weightspace.spec import ScaleName, SymmetrySpec
from weightspace.testing import (
    assert_equivariant,
    assert_invariant,
    equivariance_error,
    invariance_error,
    random_params,
)

usual_specs = pytest.mark.parametrize("spec", USUAL.values(), ids=USUAL)
both = pytest.mark.parametrize("model", BOTH)
ways = pytest.mark.parametrize("direction", ["forward", "bidirectional"])
CONTROLS = {"mlp-sign": mlp("sign"), "mlp-positive": mlp("positive"), "cnn-positive": cnn("positive")}
every_control = pytest.mark.parametrize("spec", CONTROLS.values(), ids=CONTROLS)


def tolerance(spec: SymmetrySpec) -> float:
    """Permutations and signs are exact; positive scales are rounded on the way."""
    return 1e-10 if any(space.scale in POSITIVE_SCALES for space in spec.free) else 1e-12


@ways
@usual_specs
@pytest.mark.parametrize("even", [True, False])
def test_laws_hold_and_outputs_are_alive(spec, direction, even):
    functional, operator = (build(model, spec, direction=direction, even=even, width=16) for model in BOTH)
    assert_invariant(functional, spec, tolerance=tolerance(spec))
    assert_equivariant(operator, spec, tolerance=tolerance(spec), min_change=1e-2)


@ways
@usual_specs
def test_laws_hold_in_float32(spec, direction):
    functional, operator = (
        build(model, spec, dtype=torch.float32, width=32, rounds=4, direction=direction) for model in BOTH
    )
    assert_invariant(functional, spec, random_params(spec, 6), tolerance=1e-5)
    assert_equivariant(operator, spec, random_params(spec, 6), tolerance=1e-5)


@settings(max_examples=10)
@given(spec=specs(), seed=seeds)
def test_laws_hold_on_random_specs(spec, seed):
    functional, operator = (build(model, spec, seed=seed, rounds=2) for model in BOTH)
    assert_invariant(functional, spec, double(spec, 6, seed), seed=seed, tolerance=tolerance(spec))
    params, element = double(spec, 4, seed), gauges(spec, 4, seed)
    worst, change = equivariance_error(operator, spec, params, element)
    assert change > 1e-4
    assert worst <= tolerance(spec)
    assert isinstance(operator, MatrixOperator)
    assert pulled_back(operator, spec, params, element)[0] <= tolerance(spec)


@usual_specs
def test_many_rounds_do_not_wash_out_what_is_read(spec):
    functional, operator = (build(model, spec, rounds=8) for model in BOTH)
    assert_invariant(functional, spec, tolerance=tolerance(spec))
    assert_equivariant(operator, spec, tolerance=tolerance(spec), min_change=5e-3)


def law_error(model: Model, spec: SymmetrySpec) -> float:
    """Error relative to the spread, as the laws of the library measure it."""
    params, element = double(spec, 4), gauges(spec, 4)
    if isinstance(model, MatrixOperator):
        return equivariance_error(model, spec, params, element)[0]
    error, spread = invariance_error(model, spec, params, element)
    return error / spread


@both
@ways
@every_control
def test_the_broken_twin_breaks_the_law_and_respects_permutations(model, spec, direction):
    broken = build(model, spec, direction=direction, symmetry_broken=True)
    assert law_error(broken, spec) > 1e-2
    assert law_error(broken, regroup(spec, {"sign": "trivial", "positive": "trivial"})) <= 1e-12


@both
@pytest.mark.parametrize(
    ("truth", "built_for"),
    [("sign", "trivial"), ("positive", "trivial"), ("positive", "sign"), ("nonzero", "positive"), ("nonzero", "sign")],
)
def test_a_model_built_for_a_smaller_group_breaks_the_law(model, truth: ScaleName, built_for: ScaleName):
    spec = mlp(truth)
    assert law_error(build(model, regroup(spec, {truth: built_for})), spec) > 1e-2


@both
def test_a_model_built_for_a_larger_group_keeps_the_law(model):
    assert law_error(build(model, mlp("nonzero")), mlp("sign")) <= 1e-12
    assert law_error(build(model, mlp("nonzero")), mlp("positive")) <= 1e-10


@every_control
@ways
def test_twins_have_as_many_parameters(spec, direction):
    family, read = MatrixFamily(width=8, rounds=2, direction=direction), Architecture(spec)
    assert list(family.twins()) == ["broken"]
    for build_one in (lambda f: f.functional(read, 2), lambda f: f.operator(read)):
        counts = {sum(p.numel() for p in build_one(one).parameters()) for one in (family, *family.twins().values())}
        assert len(counts) == 1
    assert not family.model_copy(update={"symmetry": "broken"}).twins()


def test_permutations_alone_are_a_choice():
    spec = mlp("sign")
    model = MatrixFamily(width=8, rounds=2, symmetry="permutations").functional(Architecture(spec), 2).double()
    assert isinstance(model, MatrixFunctional)
    assert law_error(model, mlp("trivial")) <= 1e-12
    assert law_error(model, spec) > 1e-2
