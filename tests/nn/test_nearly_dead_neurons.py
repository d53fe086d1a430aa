"""Weight decay leaves neurons at 1e-30: an operator must neither blow up their fan-out nor break the law there."""

import pytest
import torch
from metanets import mlp

from weightspace.gauge import act, neuron_relevance, normal_form, sample
from weightspace.nn import EquivariantOperator
from weightspace.testing import equivariance_error, random_params

SPEC = mlp("positive", "positive")


def decayed(tiny: float, *, fan_out: bool):
    """Networks with half of each hidden space's neurons shrunk to ``tiny``, their fan-out too if asked."""
    params = random_params(SPEC, 4, dtype=torch.float64)
    hidden = [space.name for space in SPEC.free]
    for name, axes in SPEC.params:
        for dim, axis in enumerate(axes):
            if axis.space in hidden and (axis.power > 0 or fan_out):
                params[name].narrow(dim + 1, 0, SPEC.space[axis.space].size // 2).mul_(tiny)
    return params


@pytest.mark.parametrize("fan_out", [False, True])
@pytest.mark.parametrize("tiny", [1e-6, 1e-30])
@pytest.mark.parametrize("positive", ["normal_form", "blocks"])
def test_changes_stay_within_a_few_times_the_weights(positive, tiny, fan_out):
    params = decayed(tiny, fan_out=fan_out)
    torch.manual_seed(0)
    changes = EquivariantOperator(SPEC, 8, positive=positive).double().delta(params)
    for name in SPEC.axes:
        if name.endswith("weight"):
            assert changes[name].abs().max() <= 10 * params[name].abs().max(), name


@pytest.mark.parametrize("positive", ["normal_form", "blocks"])
def test_the_law_holds_with_nearly_dead_neurons(positive):
    torch.manual_seed(0)
    operator = EquivariantOperator(SPEC, 8, positive=positive).double()
    error, change = equivariance_error(operator, SPEC, decayed(1e-30, fan_out=False))
    assert change > 1e-3
    assert error < 1e-7


def test_relevance_does_not_change_with_the_gauge_and_is_zero_for_dead_neurons():
    params = decayed(0.0, fan_out=False)
    element = sample(SPEC, 3, num=4, max_scale=64.0)
    here = neuron_relevance(normal_form(params, SPEC)[0], SPEC)
    there = neuron_relevance(normal_form(act(element, params, SPEC), SPEC)[0], SPEC)
    for name, value in here.items():
        torch.testing.assert_close(there[name], value.gather(-1, element.perm[name]))
        half = value.shape[-1] // 2
        assert (value[:, :half] == 0).all()
        assert (value[:, half:] > 0.05).all()
