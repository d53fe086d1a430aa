"""The neuron gauge scales as its neurons do, and dividing by it gives a normal form on which no scale acts."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specs import POSITIVE_SCALES, networks, seeds, specs

from weightspace.gauge import (
    act,
    from_normal_form,
    has_positive_scales,
    neuron_gauge,
    normal_form,
    same_function,
    sample,
)
from weightspace.spec import SymmetrySpec, parse, to_text
from weightspace.testing import random_params

close = partial(torch.testing.assert_close, rtol=1e-12, atol=0.0)
double = partial(random_params, dtype=torch.float64)
scaled_specs = specs(groups=("positive", "nonzero", "sign"))
any_network = given(spec=scaled_specs, seed=seeds)


@any_network
def test_lengths_scale_exactly_as_the_neurons(spec, seed):
    params, g = double(spec, 3, seed=seed), sample(spec, seed, num=3, max_scale=64.0)
    here, there = neuron_gauge(params, spec), neuron_gauge(act(g, params, spec), spec)
    for space in spec.free:
        moved = here[space.name].gather(-1, g.perm[space.name])
        close(there[space.name], moved * g.scale[space.name].abs())
        assert (there[space.name] == 1).all() or space.scale in POSITIVE_SCALES


@any_network
def test_lengths_are_one_where_no_positive_scale_acts(spec, seed):
    gauge = neuron_gauge(double(spec, 2, seed=seed), spec)
    assert list(gauge) == [space.name for space in spec.spaces]
    for space in spec.spaces:
        assert gauge[space.name].shape == (2, space.size)
        assert (gauge[space.name] == 1).all() or space.scale in POSITIVE_SCALES
    assert has_positive_scales(spec) == any(space.scale in POSITIVE_SCALES for space in spec.spaces)


@any_network
def test_a_single_network_has_the_lengths_of_the_stack(spec, seed):
    params = double(spec, 2, seed=seed)
    stacked = neuron_gauge(params, spec)
    single = neuron_gauge({name: value[1] for name, value in params.items()}, spec)
    for name in stacked:
        close(single[name], stacked[name][1])


@any_network
def test_normal_form_ignores_positive_scales(spec, seed):
    params, g = double(spec, 3, seed=seed), sample(spec, seed, num=3, max_scale=64.0)
    only_scales = {name: torch.arange(perm.shape[-1]).expand_as(perm) for name, perm in g.perm.items()}
    g = type(g)(only_scales, {name: scale.abs() for name, scale in g.scale.items()})
    here, _ = normal_form(params, spec)
    there, _ = normal_form(act(g, params, spec), spec)
    for name in here:
        torch.testing.assert_close(there[name], here[name], rtol=1e-12, atol=1e-15)


@any_network
def test_normal_form_is_idempotent_and_its_neurons_have_unit_length(spec, seed):
    normal, _ = normal_form(double(spec, 3, seed=seed), spec)
    again, gauge = normal_form(normal, spec)
    for name, lengths in gauge.items():
        close(lengths, torch.ones_like(lengths), msg=name)
    for name in normal:
        close(again[name], normal[name])


@any_network
def test_from_normal_form_restores_live_networks(spec, seed):
    params = double(spec, 3, seed=seed)
    normal, gauge = normal_form(params, spec)
    back = from_normal_form(normal, gauge, spec)
    for name in params:
        close(back[name], params[name])


@given(case=networks(groups=("positive", "nonzero")))
def test_normal_form_preserves_the_function(case):
    normal, _ = normal_form(dict(case.module.state_dict()), case.spec)
    assert same_function(case.module, normal, case.example) <= 1e-12


@given(case=networks(groups=("positive",)), data=st.data())
def test_normal_form_preserves_the_function_of_networks_with_dead_neurons(case, data):
    params = {name: value.clone() for name, value in case.module.state_dict().items()}
    layer = data.draw(st.integers(0, len(case.spec.free) - 1))
    for part in ("weight", "bias"):
        if f"layers.{layer}.{part}" in params:
            params[f"layers.{layer}.{part}"][0] = 0.0
    case.module.load_state_dict(params)
    normal, gauge = normal_form(params, case.spec)
    assert (gauge[f"h{layer}"][0] == 0).all()
    assert all(value.isfinite().all() for value in normal.values())
    assert same_function(case.module, normal, case.example) <= 1e-12


def test_gauge_of_a_written_out_network():
    spec = parse("in[1] fixed\nh0[2] positive\nh1[1] positive\nout[1] fixed\n\na h0 in~\nb h0\nc h1 h0~\nd out h1~")
    params = {"a": [[3.0], [0.0]], "b": [4.0, 2.0], "c": [[2.0, 0.5]], "d": [[7.0]]}
    normal, gauge = normal_form({name: torch.tensor(value) for name, value in params.items()}, spec)
    assert gauge["h0"].tolist() == [5.0, 2.0]
    assert gauge["h1"].tolist() == [pytest.approx(101**0.5)]
    assert normal["d"].tolist() == [[pytest.approx(7 * 101**0.5)]]


@any_network
def test_the_order_in_which_spaces_are_listed_does_not_matter(spec, seed):
    params = double(spec, 2, seed=seed)
    reversed_spec = SymmetrySpec(spec.spaces[::-1], spec.params)
    here, there = neuron_gauge(params, spec), neuron_gauge(params, reversed_spec)
    for name in here:
        close(there[name], here[name])


def test_a_counter_that_comes_first_does_not_change_the_number_type():
    spec = parse("in[2] fixed\nh0[3] positive\nout[1] fixed\n\nsteps\na h0 in~\nb out h0~")
    params = double(spec, 2) | {"steps": torch.ones(2, dtype=torch.int64)}
    assert {value.dtype for value in neuron_gauge(params, spec).values()} == {torch.float64}


def test_cycles_keep_the_law():
    spec = parse("in[2] fixed\nh[3] positive\nout[1] fixed\n\na h in~\nloop h h~\nb out h~")
    assert "loop" in to_text(spec)
    params, g = double(spec, 2), sample(spec, num=2)
    here, there = neuron_gauge(params, spec), neuron_gauge(act(g, params, spec), spec)
    close(there["h"], here["h"].gather(-1, g.perm["h"]) * g.scale["h"])
