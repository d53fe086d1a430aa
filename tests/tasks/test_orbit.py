"""The orbit-minimal L1 norm is a minimum over the scale gauge, found for all networks at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import mlp_spec, networks

from weightspace import SpecError
from weightspace.gauge import act, sample
from weightspace.spec import parse
from weightspace.tasks import l1_norm, orbit_minimal_l1

SPEC = mlp_spec((4, 6, 5, 3), "positive")


@given(seed=st.integers(0, 999), num=st.integers(1, 4))
def test_orbit_minimal_l1_is_the_same_everywhere_on_an_orbit(seed, num):
    params = {name: value.double() for name, value in networks(SPEC, num, seed).items()}
    moved = act(sample(SPEC, seed, num=num, max_scale=64.0), params, SPEC)
    assert not torch.allclose(l1_norm(params), l1_norm(moved), rtol=1e-2)
    torch.testing.assert_close(orbit_minimal_l1(moved, SPEC), orbit_minimal_l1(params, SPEC), rtol=1e-6, atol=0)


@settings(max_examples=4)
@given(seed=st.integers(0, 999))
def test_orbit_minimal_l1_equals_a_gradient_search_over_log_scales(seed):
    params = {name: value.double() for name, value in networks(SPEC, 2, seed).items()}
    logs = {space.name: torch.zeros(2, space.size, dtype=torch.float64, requires_grad=True) for space in SPEC.free}
    search = torch.optim.LBFGS(logs.values(), max_iter=300, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def total():
        values = []
        for name, axes in SPEC.params:
            value = params[name]
            for dim, axis in enumerate(axes, start=1):
                if axis.space in logs:
                    shape = [1] * value.dim()
                    shape[0], shape[dim] = value.shape[0], value.shape[dim]
                    value = value * (axis.power * logs[axis.space]).exp().reshape(shape)
            values.append(value.abs().flatten(1).sum(1))
        return torch.stack(values).sum(0)

    def closure():
        search.zero_grad()
        loss = total().sum()
        loss.backward()
        return loss

    search.step(closure)
    torch.testing.assert_close(orbit_minimal_l1(params, SPEC), total().detach(), rtol=1e-6, atol=0)


def test_orbit_minimal_l1_is_at_most_l1_and_equals_it_without_positive_scales():
    params = networks(SPEC, 3)
    assert (orbit_minimal_l1(params, SPEC) < l1_norm(params)).all()
    sign = mlp_spec((4, 6, 5, 3), "sign")
    torch.testing.assert_close(orbit_minimal_l1(params, sign).float(), l1_norm(params))


def test_a_neuron_that_feeds_nothing_costs_nothing():
    params = networks(SPEC, 2)
    params["layers.1.weight"][:, :, 2] = 0
    without = {name: value.clone() for name, value in params.items()}
    without["layers.0.weight"][:, 2] = 0
    without["layers.0.bias"][:, 2] = 0
    torch.testing.assert_close(orbit_minimal_l1(params, SPEC), orbit_minimal_l1(without, SPEC))


def test_convolution_and_flattened_axes_are_rescaled_too():
    text = "in[1] fixed\nh0[3] positive\nout[2] fixed\n\nc.weight h0 in~ .2 .2\nc.bias h0\nl.weight out h0*4~\n"
    spec = parse(text)
    params = {name: value.double() for name, value in networks(spec, 2).items()}
    moved = act(sample(spec, 1, num=2, max_scale=16.0), params, spec)
    torch.testing.assert_close(orbit_minimal_l1(moved, spec), orbit_minimal_l1(params, spec), rtol=1e-6, atol=0)


def test_a_space_on_two_axes_of_one_parameter_is_refused():
    spec = parse("h0[3] positive\n\nw h0 h0~\n")
    with pytest.raises(SpecError, match="'h0' on one axis"):
        orbit_minimal_l1(networks(spec, 2), spec)
