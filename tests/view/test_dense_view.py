"""The dense view shows every number once, on the right node or edge, and gives it back bit by bit."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specs import seeds, specs

from weightspace import SpecError, SpecMismatch
from weightspace.gauge import act, sample
from weightspace.spec import layout, num_parameters, parse
from weightspace.testing import random_params
from weightspace.view import DenseView, view

any_networks = given(spec=specs(), num=st.integers(1, 3), seed=seeds)


@any_networks
def test_to_params_is_the_exact_inverse(spec, num, seed):
    params = random_params(spec, num, seed=seed)
    back = view(params, spec).to_params()
    assert list(back) == list(spec.axes)
    assert all(torch.equal(back[name], params[name]) for name in params)


@any_networks
def test_shapes_are_networks_by_neurons_by_channels(spec, num, seed):
    dense, plan = view(random_params(spec, num, seed=seed), spec), layout(spec)
    for name, value in dense.nodes.items():
        assert value.shape == (num, spec.space[name].size, sum(bias.width for bias in plan.biases_of(name)))
    for weight in plan.weights:
        ends = (spec.space[weight.target].size, spec.space[weight.source].size)
        assert dense.edges[weight.name].shape == (num, *ends, weight.width)
    assert dense.nodes.keys() == {bias.space for bias in plan.biases}
    count = sum(value[0].numel() for value in (*dense.nodes.values(), *dense.edges.values(), *dense.rest.values()))
    assert count == num_parameters(spec)


@any_networks
def test_the_gauge_moves_nodes_and_edges_as_wholes(spec, num, seed):
    params, g = random_params(spec, num, seed=seed, dtype=torch.float64), sample(spec, seed)
    here, there = view(params, spec), view(act(g, params, spec), spec)
    for name, value in here.nodes.items():
        if name in g.perm:
            value = g.scale[name][:, None] * value[:, g.perm[name]]
        torch.testing.assert_close(there.nodes[name], value, rtol=1e-14, atol=0.0)
    for weight in layout(spec).weights:
        value = here.edges[weight.name]
        if weight.target in g.perm:
            value = g.scale[weight.target][:, None, None] * value[:, g.perm[weight.target]]
        if weight.source in g.perm:
            value = value[:, :, g.perm[weight.source]] / g.scale[weight.source][:, None]
        torch.testing.assert_close(there.edges[weight.name], value, rtol=1e-14, atol=0.0)


@any_networks
def test_weights_that_are_zero_keep_their_edges(spec, num, seed):
    params = random_params(spec, num, seed=seed)
    zeros = view({name: torch.zeros_like(value) for name, value in params.items()}, spec)
    for name, value in view(params, spec).edges.items():
        assert zeros.edges[name].shape == value.shape
        assert not zeros.edges[name].any()


def test_channels_of_an_edge_are_the_kernel_and_of_a_flattened_map_its_positions():
    spec = parse("in[2] fixed\nh[3] positive\nout[1] fixed\n\nk h in~ .3 .3\nb h\nw out h*4~")
    params = random_params(spec, 2)
    dense = view(params, spec)
    assert torch.equal(dense.edges["k"][:, 1, 0], params["k"][:, 1, 0].flatten(1))
    assert torch.equal(dense.edges["w"][:, 0, 2], params["w"][:, 0, 8:12])
    assert torch.equal(dense.nodes["h"][:, 1, 0], params["b"][:, 1])


def test_axes_may_come_in_any_order():
    spec = parse("in[2] fixed\nh[3]\nout[4] fixed\n\na in~ .2 h\nb .5 h\nc h*2~ out*3")
    params = random_params(spec, 2)
    dense = view(params, spec)
    assert torch.equal(dense.edges["a"][:, 2, 1], params["a"][:, 1, :, 2])
    assert torch.equal(dense.nodes["h"][:, 2], params["b"][:, :, 2])
    assert torch.equal(dense.edges["c"][:, 3, 1], params["c"][:, 2:4, 9:12].flatten(1))
    assert all(torch.equal(value, params[name]) for name, value in dense.to_params().items())


def test_biases_of_one_space_are_told_apart():
    spec = parse("in[2] fixed\nh[3]\nout[1] fixed\n\na h in~\nb h\nscale h .2\nc out h~")
    params = random_params(spec, 2)
    dense = view(params, spec)
    assert torch.equal(dense.nodes["h"], torch.cat([params["b"][..., None], params["scale"]], -1))
    assert all(torch.equal(value, params[name]) for name, value in dense.to_params().items())


def test_changes_written_to_a_view_arrive_where_they_belong():
    spec = parse("in[2] fixed\nh[3]\nout[1] fixed\n\nomega\na h in~\nb h\nc out h~")
    dense = view(random_params(spec, 1), spec)
    nodes = {"h": torch.tensor([[[0.0], [5.0], [0.0]]])}
    edges = {name: torch.zeros_like(value) for name, value in dense.edges.items()}
    edges["a"][0, 2, 1, 0] = 7.0
    back = DenseView(spec, nodes, edges, dense.rest).to_params()
    assert back["b"].tolist() == [[0.0, 5.0, 0.0]]
    assert back["a"].tolist() == [[[0.0, 0.0], [0.0, 0.0], [0.0, 7.0]]]


def test_a_single_network_is_refused_with_the_line_that_stacks_it():
    spec = parse("in[2] fixed\nout[1] fixed\n\na out in~")
    with pytest.raises(SpecMismatch, match=r"got a single one.*value\[None\]"):
        view({"a": torch.zeros(1, 2)}, spec)


def test_parameters_of_another_architecture_are_refused_by_name():
    spec = parse("in[2] fixed\nout[1] fixed\n\na out in~\nb out")
    good = random_params(spec, 2)
    for bad, message in [
        (good | {"c": torch.zeros(2)}, "'c' is not part of this architecture"),
        ({"a": good["a"]}, "'b' is missing"),
        (good | {"a": torch.zeros(2, 1, 3)}, r"'a' has shape \[2, 1, 3\].*needs \[1, 2\]"),
        (good | {"b": torch.zeros(3, 1)}, "'b' stacks 3 networks, the ones before it 2"),
    ]:
        with pytest.raises(SpecMismatch, match=message):
            view(bad, spec)


def test_a_parameter_that_is_neither_weight_nor_bias_is_refused_by_name():
    spec = parse("in[2] fixed\nh[3] sign\n\na h in~\nsquare h h")
    with pytest.raises(SpecError, match="'square' has powers"):
        view({name: torch.zeros(2, *spec.shape(name)) for name in spec.axes}, spec)
