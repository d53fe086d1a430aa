"""Functionals are invariant and operators equivariant, for every group and every choice of method."""

import pytest
import torch
from hypothesis import given, settings
from metanets import BOTH, EVERY_CHOICE, HALF_THE_CHOICES, USUAL, build, choices, double, gauges, pulled_back_error
from specs import POSITIVE_SCALES, seeds, specs

from weightspace.gauge import act
from weightspace.nn import EquivariantOperator, InvariantFunctional
from weightspace.spec import SymmetrySpec, layout
from weightspace.testing import assert_equivariant, assert_invariant, equivariance_error, random_params

every_choice, half_the_choices = (
    pytest.mark.parametrize("choice", some, ids=lambda c: f"{c.direction}-{c.sign}-{c.positive}")
    for some in (EVERY_CHOICE, HALF_THE_CHOICES)
)
usual_specs = pytest.mark.parametrize("spec", USUAL.values(), ids=USUAL)


def tolerance(spec: SymmetrySpec) -> float:
    """Permutations and signs are exact; positive scales are rounded on the way."""
    return 1e-10 if any(space.scale in POSITIVE_SCALES for space in spec.free) else 1e-12


@settings(max_examples=15)
@given(spec=specs(), choice=choices, seed=seeds)
def test_functionals_are_invariant(spec, choice, seed):
    model = build(InvariantFunctional, spec, choice, seed=seed)
    assert_invariant(model, spec, double(spec, 6, seed), seed=seed, tolerance=tolerance(spec))


@settings(max_examples=15)
@given(spec=specs(), choice=choices, seed=seeds)
def test_operators_are_equivariant(spec, choice, seed):
    model = build(EquivariantOperator, spec, choice, seed=seed)
    params, element = double(spec, 4, seed), gauges(spec, 4, seed)
    worst, change = equivariance_error(model, spec, params, element)
    assert change > 1e-4  # a tensor of a few numbers may draw a small change; usual architectures: 1e-2 below
    assert worst <= tolerance(spec)
    assert pulled_back_error(model, spec, params, element).max() <= tolerance(spec)


@every_choice
@usual_specs
def test_operators_are_alive_and_equivariant_in_every_tensor(spec, choice):
    model = build(EquivariantOperator, spec, choice, width=16)
    assert_equivariant(model, spec, tolerance=tolerance(spec), min_change=1e-2)


@half_the_choices
@usual_specs
def test_laws_hold_in_float32(spec, choice):
    functional, operator = (build(m, spec, choice, dtype=torch.float32, width=32, rounds=4) for m in BOTH)
    assert_invariant(functional, spec, random_params(spec, 6), tolerance=1e-5)
    assert_equivariant(operator, spec, random_params(spec, 6), tolerance=1e-5)


@usual_specs
def test_rounds_do_not_wash_out_what_is_read(spec):
    functional, operator = (build(model, spec, rounds=8) for model in BOTH)
    assert_invariant(functional, spec, tolerance=tolerance(spec))
    assert_equivariant(operator, spec, tolerance=tolerance(spec), min_change=1e-2)


@given(spec=specs(), choice=choices, seed=seeds)
def test_states_move_with_the_gauge_after_every_round(spec, choice, seed):
    backbone = build(EquivariantOperator, spec, choice, seed=seed).backbone
    inner = backbone.inner
    # With the normal form the states see permutations and signs only: the element as the inner spec reads it.
    params, element = double(inner, 3, seed), gauges(inner, 3, seed)
    matrix = element.to_dense()
    with torch.no_grad():
        here, there = backbone.embed(params), backbone.embed(act(element, params, inner))
        for one in [None, *backbone.rounds]:
            here, there = (here, there) if one is None else (one(here), one(there))
            for name, x in here.nodes.items():
                gauge, moved, moved_gauge = here.gauge[name], there.nodes[name], there.gauge[name]
                if name in matrix:
                    x, gauge = matrix[name] @ x, (matrix[name].abs() @ gauge.unsqueeze(-1)).squeeze(-1)
                close(moved_gauge, gauge)
                # Neuron by neuron: in units of the gauge, which no scale changes.
                close(moved / moved_gauge.unsqueeze(-1), x / gauge.unsqueeze(-1))
                close(there.unit[name], here.unit[name])
            for weight in layout(inner).weights:
                e, moved = here.edges[weight.name], there.edges[weight.name]
                target, source = there.gauge[weight.target], there.gauge[weight.source]
                if weight.target in matrix:
                    e = torch.einsum("bij,bjkc->bikc", matrix[weight.target], e)
                if weight.source in matrix:
                    e = torch.einsum("bij,bkjc->bkic", torch.linalg.inv(matrix[weight.source]).mT, e)
                units = (source.unsqueeze(1) / target.unsqueeze(2)).unsqueeze(-1)
                close(moved * units, e * units)


def close(have: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(have, want, rtol=0.0, atol=1e-11 * float(want.abs().max()))
