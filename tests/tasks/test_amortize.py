"""Objectives equal plain loops over networks and images."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_networks import images, mlp_spec, networks
from torch.func import functional_call

from weightspace import ConfigError
from weightspace.tasks import cross_entropy, divergence, l1_norm, objective
from weightspace.zoo import MLP, stacked_mlp

WIDTHS = (6, 5, 4, 3)
SPEC = mlp_spec(WIDTHS, "sign")
TANH = partial(stacked_mlp, activation="tanh")


def outputs_one_by_one(params, x):
    module = MLP(WIDTHS, "tanh")
    count = len(params["layers.0.weight"])
    return [functional_call(module, {name: value[i] for name, value in params.items()}, (x,)) for i in range(count)]


@given(num=st.integers(1, 5), count=st.integers(1, 20), seed=st.integers(0, 99))
def test_cross_entropy_plus_l1_equals_a_plain_loop(num, count, seed):
    new, (x, y) = networks(SPEC, num, seed), images(count, 6, 3, seed)
    want = []
    for i, logits in enumerate(outputs_one_by_one(new, x)):
        loss = -sum(math.log(float(logits[k].softmax(0)[y[k]])) for k in range(count)) / count
        want.append(loss + 0.01 * sum(float(value[i].abs().sum()) for value in new.values()))
    value = objective("ce", 0.01, TANH)(new, new, x, y)
    torch.testing.assert_close(value, torch.tensor(want), atol=1e-4, rtol=1e-5)


@given(num=st.integers(1, 4), seed=st.integers(0, 99))
def test_distill_equals_a_plain_loop(num, seed):
    new, old, (x, y) = networks(SPEC, num, seed), networks(SPEC, num, seed + 100), images(12, 6, 3, seed)
    want = []
    for i, (a, b) in enumerate(zip(outputs_one_by_one(new, x), outputs_one_by_one(old, x), strict=True)):
        p, q = b.softmax(-1), a.softmax(-1)
        l1 = sum(float(value[i].abs().sum()) for value in new.values())
        want.append(float((p * (p / q).log()).sum(-1).mean()) + 0.02 * l1)
    value = objective("distill", 0.02, TANH)(new, old, x, y)
    torch.testing.assert_close(value, torch.tensor(want), atol=1e-4, rtol=1e-5)


def test_distill_of_the_identity_costs_only_its_weights():
    params, (x, y) = networks(SPEC, 3), images(10, 6, 3)
    torch.testing.assert_close(objective("distill", 0.1, TANH)(params, params, x, y), 0.1 * l1_norm(params))


def test_objectives_do_not_mix_networks():
    params, (x, y) = networks(SPEC, 4), images(10, 6, 3)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    objective("distill", 0.1, TANH)(leaves, params, x, y)[1].backward()
    found = leaves["layers.0.weight"].grad
    assert found is not None
    gradient = found.flatten(1).norm(dim=1)
    assert gradient[1] > 0
    assert gradient[[0, 2, 3]].abs().max() == 0


def test_cross_entropy_and_divergence_agree_with_torch_and_are_zero_when_they_should():
    logits, (_, y) = torch.randn(3, 9, 4, generator=torch.Generator().manual_seed(0)), images(9, 6, 4)
    want = torch.stack([torch.nn.functional.cross_entropy(one, y) for one in logits])
    torch.testing.assert_close(cross_entropy(logits, y), want)
    assert divergence(logits, logits + 1.5).abs().max() < 1e-6


@pytest.mark.parametrize(("kind", "l1", "words"), [("distill", 0.0, "unchanged"), ("ce", -1.0, "negative")])
def test_a_meaningless_l1_weight_is_refused_with_a_line_to_type(kind, l1, words):
    with pytest.raises(ConfigError, match=words) as caught:
        objective(kind, l1, TANH)
    assert "--task.objective.l1 5e-4" in str(caught.value)
