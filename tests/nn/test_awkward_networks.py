"""Zero, tiny and huge weights, dead and mute neurons: values and gradients stay finite, and the laws hold."""

import pytest
import torch
from metanets import BOTH, HALF_THE_CHOICES, USUAL, Params, awkward, build, gauges, mlp, pulled_back_error, row

from weightspace.gauge import act
from weightspace.nn import EquivariantOperator, InvariantFunctional
from weightspace.spec import SymmetrySpec

every_type = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
usual_specs = pytest.mark.parametrize("spec", USUAL.values(), ids=USUAL)


def bounded(changes: Params) -> torch.Tensor:
    """A loss of the operator's changes that has the same size for every network and tensor."""
    total = torch.zeros(())
    for value in changes.values():
        size = value.detach().reshape(len(value), -1).abs().amax(1)
        total = total + (value.reshape(len(value), -1) / size.where(size > 0, 1.0).unsqueeze(1)).square().sum()
    return total


@every_type
@usual_specs
def test_values_and_parameter_gradients_are_finite(dtype, spec):
    params = awkward(spec, dtype)
    for choice in HALF_THE_CHOICES if dtype == torch.float32 else HALF_THE_CHOICES[-1:]:
        functional, operator = (build(m, spec, choice, dtype=dtype, rounds=2) for m in BOTH)
        out, changes = functional(params), operator.delta(params)
        assert out.isfinite().all(), choice
        assert all(value.isfinite().all() for value in changes.values()), choice
        (out.square().sum() + bounded(changes)).backward()
        for model in (functional, operator):
            assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters()), choice


@usual_specs
def test_laws_hold_network_by_network(spec):
    params = awkward(spec, torch.float64)
    num = len(next(iter(params.values())))
    element = gauges(spec, num)
    for choice in HALF_THE_CHOICES:
        functional, operator = (build(m, spec, choice, rounds=2) for m in BOTH)
        assert pulled_back_error(operator, spec, params, element).max() <= 1e-9, choice
        with torch.no_grad():
            here, there = functional(params), functional(act(element, params, spec))
        assert ((there - here).abs() <= 1e-9 * (here - here.roll(1, 0)).abs().max()).all(), choice


def huge(spec: SymmetrySpec) -> Params:
    """All weights 1e15 times as large; in float64, since float32 cannot hold what three such layers compute."""
    return {name: 1e15 * value for name, value in row(awkward(spec, torch.float64), 8).items()}


@usual_specs
def test_huge_networks_are_read_and_changed_in_float64(spec):
    for choice in HALF_THE_CHOICES:
        functional, operator = (build(m, spec, choice, rounds=2) for m in BOTH)
        assert functional(huge(spec)).isfinite().all()
        changes = operator.delta(huge(spec))
        assert all(value.isfinite().all() for value in changes.values())
        assert min(float(changes[name].detach().abs().max()) for name in spec.axes if name.endswith("weight")) > 1e10


def test_gradients_are_finite_for_a_network_of_zeros_alone():
    for name, spec in USUAL.items():
        zeros = {key: torch.zeros_like(value) for key, value in row(awkward(spec, torch.float32), 0).items()}
        for choice in HALF_THE_CHOICES:
            functional = build(InvariantFunctional, spec, choice, dtype=torch.float32, rounds=2)
            functional(zeros).sum().backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in functional.parameters()), name


def test_an_operator_leaves_zero_networks_at_zero_where_signs_act():
    for spec in (mlp("sign"), mlp("nonzero")):
        for choice in HALF_THE_CHOICES:
            changes = build(EquivariantOperator, spec, choice).delta(row(awkward(spec, torch.float64), 0))
            assert not any(value.any() for value in changes.values())
