"""The published models keep the law of their group: permutations, signs, positive scales in [1/64, 64]."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from metanets import double, gauges, pulled_back_error, row
from published_models import EVERY, build, regrouped, variants
from specs import seeds

from weightspace.gauge import act
from weightspace.nn import Preset
from weightspace.spec import parse
from weightspace.testing import (
    assert_equivariant,
    assert_invariant,
    invariance_error,
    random_params,
)

OPERATORS = [name for name, preset in EVERY.items() if preset.readout == "operator"]
HETERO = [name for name, preset in EVERY.items() if preset.group == "hetero"]
FUNCTIONALS = [name for name in EVERY if name not in OPERATORS + HETERO]
EXACT = 1e-11
"""Of the spread; measured 1e-13 at most."""


@pytest.mark.parametrize("name", FUNCTIONALS)
def test_functionals_are_invariant(name):
    model = build(name)
    assert_invariant(model, model.spec, double(model.spec, 6), tolerance=EXACT)


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_are_equivariant(name):
    model = build(EVERY[name])
    params, element = double(model.spec, 4), gauges(model.spec, 4)
    assert_equivariant(model, model.spec, params, tolerance=EXACT, min_change=1e-2)
    assert pulled_back_error(model, model.spec, params, element).max() <= EXACT


@pytest.mark.parametrize("kind", ["sign", "positive"])
@pytest.mark.parametrize("name", HETERO)
def test_mixed_models_are_invariant_for_either_kind_of_network(name, kind):
    model = build(name)
    read = partial(model, positive=torch.full((6,), kind == "positive"))
    spec = regrouped(model.spec, kind)
    assert_invariant(read, spec, double(spec, 6), tolerance=EXACT)


@pytest.mark.parametrize("name", HETERO)
def test_a_mixed_batch_gives_what_its_networks_give_alone(name):
    model = build(name)
    params, positive = double(model.spec, 5), torch.tensor([True, False, False, True, False])
    with torch.no_grad():
        mixed = model(params, positive)
        alone = torch.cat([model(row(params, i), positive[i : i + 1]) for i in range(5)])
        other = model(params, ~positive)
    assert (mixed - alone).abs().max() <= 1e-12 * mixed.abs().max()
    assert (mixed - other).abs().min() > 1e-6  # the kind matters


@pytest.mark.parametrize("name", ["mnist_cls", "fmnist_cls -B", "cifar_inr", "cifar10 relu -B", "svhn tanh", "hetero"])
def test_baselines_are_invariant_under_permutations(name):
    model = build(f"permutation: {name}")
    assert_invariant(model, model.spec, double(model.spec, 6), tolerance=EXACT)


@pytest.mark.parametrize("name", ["mnist_edit", "mnist_edit -B"])
def test_baseline_operators_are_equivariant_under_permutations(name):
    model = build(f"permutation: {name}")
    assert_equivariant(model, model.spec, double(model.spec, 4), tolerance=EXACT)


@settings(max_examples=15)
@given(variant=variants(), seed=seeds)
def test_any_choice_of_parts_keeps_the_law_of_any_chain(variant, seed):
    preset, spec = Preset(**variant[0]), parse(variant[1])
    model = build(preset, layout=spec, width=preset.width, seed=seed)
    params, element = double(spec, 4, seed), gauges(spec, 4, seed)
    if preset.readout == "operator":
        assert pulled_back_error(model, spec, params, element).max() <= EXACT
    else:
        error, spread = invariance_error(model, spec, params, element)
        assert error <= EXACT * spread


@pytest.mark.parametrize("name", ["mnist_cls", "fmnist_cls -B", "cifar10 relu -B", "svhn relu", "cifar10 tanh -B"])
def test_functionals_of_published_width_are_invariant_in_float32(name):
    model = build(name, width=None, dtype=torch.float32)
    assert_invariant(model, model.spec, random_params(model.spec, 6), tolerance=5e-5)


@pytest.mark.parametrize("name", ["mnist_edit -B", "positive edit -B"])
def test_operators_of_published_width_are_equivariant_in_float32(name):
    model = build(EVERY[name], width=None, dtype=torch.float32)
    assert_equivariant(model, model.spec, random_params(model.spec, 4), tolerance=2e-4, min_change=1e-2)


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("name", FUNCTIONALS)
def test_states_of_neurons_scale_as_the_neurons_do(name, rounds):
    # The full read-out depends on every vertex, so all final states are there, for any number of rounds.
    preset = replace(EVERY[name], readout="full_graph")
    model = build(preset, rounds=rounds)
    spec, params = model.spec, double(model.spec, 4)
    element = gauges(spec, 4)
    matrix = element.to_dense()
    with torch.no_grad():
        here, there = model.states(params), model.states(act(element, params, spec))
    assert list(here) == [space.name for space in spec.spaces]
    for space, x in here.items():
        want = matrix[space] @ x if space in matrix else x
        size = want.abs().amax(-1, keepdim=True)  # neuron by neuron
        assert size.min() > 0.0
        assert ((there[space] - want).abs() <= EXACT * size).all()


def test_states_are_given_where_the_read_out_depends_on_them():
    functionals = {name: build(name) for name in ("mnist_cls", "mnist_cls -B", "fmnist_cls")}
    read = {name: list(model.states(double(model.spec, 2))) for name, model in functionals.items()}
    assert read == {"mnist_cls": ["out"], "mnist_cls -B": ["in", "out"], "fmnist_cls": ["in", "h0", "h1", "out"]}
