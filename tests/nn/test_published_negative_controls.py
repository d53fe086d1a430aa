"""What has no right to a law breaks it: released backward edges, baselines, models of another group."""

from functools import partial

import pytest
import torch
from metanets import double, gauges, pulled_back_error
from published_models import EVERY, build, regrouped
from torch import nn

from weightspace.nn.published import MixedFunctional
from weightspace.nn.published._released import as_released
from weightspace.spec import ScaleName, SymmetrySpec
from weightspace.testing import invariance_error

BIDIRECTIONAL = ["cifar10 relu -B", "svhn relu -B", "hetero -B", "positive edit -B"]
FORWARD = ["cifar10 relu", "svhn relu", "hetero", "positive edit"]
BROKEN = 1e-4
"""Of the spread between unrelated networks, or of the largest change of an operator."""


def law_error(model: nn.Module, spec: SymmetrySpec, *, positive: bool = True) -> float:
    """Error of the model's law under the gauge of ``spec``; mixed models read all networks as of one kind."""
    params, element = double(spec, 6), gauges(spec, 6)
    if hasattr(model, "delta"):
        return float(pulled_back_error(model, spec, params, element).max())
    read = partial(model, positive=torch.full((6,), positive)) if isinstance(model, MixedFunctional) else model
    error, spread = invariance_error(read, spec, params, element)
    return error / spread


@pytest.mark.parametrize("name", BIDIRECTIONAL)
def test_released_backward_edges_break_positive_scales(name):
    model = build(EVERY[name], rounds=3)
    assert law_error(model, model.spec) <= 1e-11
    assert law_error(as_released(model), model.spec) > BROKEN


@pytest.mark.parametrize("name", BIDIRECTIONAL)
def test_released_models_still_respect_permutations(name):
    model = as_released(build(EVERY[name], rounds=3))
    assert law_error(model, regrouped(model.spec, "trivial")) <= 1e-11


@pytest.mark.parametrize("name", BIDIRECTIONAL)
def test_reciprocals_of_weights_keep_positive_scales(name):
    model = as_released(build(EVERY[name], rounds=3), "reciprocal")
    assert law_error(model, model.spec) <= 1e-5  # the guard of the norm, seen through three rounds


@pytest.mark.parametrize("name", FORWARD)
def test_released_forward_models_keep_positive_scales_but_for_the_guard_of_the_norm(name):
    model = as_released(build(EVERY[name], rounds=3))
    assert law_error(model, model.spec) <= 1e-5


@pytest.mark.parametrize("backward", ["as_released", "reciprocal"])
def test_released_mixed_models_keep_signs(backward):
    model = as_released(build("hetero -B"), backward)
    assert law_error(model, regrouped(model.spec, "sign"), positive=False) <= 1e-11


@pytest.mark.parametrize("name", ["mnist_cls", "fmnist_cls -B", "cifar10 relu", "svhn relu -B", "mnist_edit -B"])
@pytest.mark.parametrize("group", ["sign", "positive"])
def test_baselines_break_scales(name, group: ScaleName):
    model = build(f"permutation: {name}")
    assert law_error(model, regrouped(model.spec, group)) > BROKEN


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("mnist_cls", "positive"),
        ("mnist_edit -B", "positive"),
        ("cifar10 tanh -B", "positive"),
        ("cifar10 relu", "sign"),
        ("svhn relu -B", "sign"),
        ("positive edit -B", "sign"),
        ("svhn relu", "nonzero"),
    ],
)
def test_a_model_of_one_group_breaks_another(name, other: ScaleName):
    model = build(EVERY[name])
    assert law_error(model, regrouped(model.spec, other)) > BROKEN


@pytest.mark.parametrize("positive", [False, True])
def test_a_mixed_model_told_the_wrong_kind_breaks_the_law(positive):
    model = build("hetero")
    wrong = regrouped(model.spec, "sign" if positive else "positive")
    assert law_error(model, wrong, positive=positive) > BROKEN
