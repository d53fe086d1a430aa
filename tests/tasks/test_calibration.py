"""Factors on the logits are the best ones, change no prediction, and leave nothing for a second calibration."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_networks import images, mlp_spec, networks

from weightspace import SpecError
from weightspace.spec import parse
from weightspace.tasks import calibrated_loss, common_factor, network_factors, scale_outputs, score
from weightspace.tasks.improve.calibration import LARGEST_FACTOR, best_factor
from weightspace.zoo import stacked_mlp

SPEC = mlp_spec((6, 8, 5, 3), "sign")
TANH = partial(stacked_mlp, activation="tanh")


@given(seed=st.integers(0, 99), size=st.sampled_from([0.05, 1.0, 30.0]))
def test_the_best_factor_minimizes_the_cross_entropy(seed, size):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (60,), generator=generator)
    logits = torch.randn(1, 60, 3, generator=generator, dtype=torch.float64)
    logits = size * (logits + torch.nn.functional.one_hot(y, 3))
    best = best_factor(logits, y)

    def loss(factor):
        return torch.nn.functional.cross_entropy(factor * logits[0], y)

    assert loss(best) <= min(loss(best * 1.02), loss(best / 1.02), loss(1.0)) + 1e-12


@given(num=st.integers(1, 5), seed=st.integers(0, 99))
def test_scaling_the_last_layer_multiplies_the_logits(num, seed):
    params, (x, _) = networks(SPEC, num, seed), images(20, 6, 3, seed)
    factors = torch.rand(num, generator=torch.Generator().manual_seed(seed)) + 0.1
    for factor in (factors, factors[0]):
        scaled = scale_outputs(params, SPEC, factor)
        torch.testing.assert_close(TANH(scaled, x), factor.reshape(-1, 1, 1) * TANH(params, x), atol=1e-5, rtol=1e-5)
    assert [name for name in params if scaled[name] is not params[name]] == ["layers.2.weight", "layers.2.bias"]


@given(num=st.integers(2, 4), seed=st.integers(0, 99))
def test_calibrated_networks_have_the_calibrated_loss_and_the_same_predictions(num, seed):
    params, train, test = networks(SPEC, num, seed), images(200, 6, 3, seed), images(100, 6, 3, seed)
    factors = network_factors(params, TANH, *train)
    scaled = scale_outputs(params, SPEC, factors)
    want = calibrated_loss(params, TANH, train, test)
    torch.testing.assert_close(score(scaled, *test, TANH).loss, want, atol=1e-5, rtol=1e-5)
    # A network worse than guessing has its factor at the lower bound, and would get it once more.
    free = factors > 1.01 / LARGEST_FACTOR
    again = calibrated_loss(scaled, TANH, train, test)
    torch.testing.assert_close(again[free], want[free], atol=1e-3, rtol=1e-3)
    assert torch.equal(score(scaled, *test, TANH).accuracy, score(params, *test, TANH).accuracy)


@given(num=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_common_factor_lies_between_no_change_and_a_factor_each(num, seed):
    params, train = networks(SPEC, num, seed), images(200, 6, 3, seed)
    common = scale_outputs(params, SPEC, common_factor(params, TANH, *train))
    each = calibrated_loss(params, TANH, train, train).mean()
    together, before = score(common, *train, TANH).loss.mean(), score(params, *train, TANH).loss.mean()
    assert each - 1e-4 <= together <= before + 1e-4


def test_a_network_without_a_mistake_gets_the_largest_factor():
    params, (x, _) = networks(SPEC, 2), images(50, 6, 3)
    own = TANH({name: value[:1] for name, value in params.items()}, x)[0].argmax(-1)
    assert float(network_factors(params, TANH, x, own)[0]) == LARGEST_FACTOR


def test_an_architecture_without_one_last_layer_cannot_be_scaled():
    spec = parse("in[6] fixed\nout[3] fixed\n\na out in~\nb out in~\n")
    with pytest.raises(SpecError, match=r"found \['a', 'b'\]"):
        scale_outputs(networks(spec, 2), spec, torch.tensor(2.0))
