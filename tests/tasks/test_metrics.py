"""Metrics equal their definitions, written as plain loops; a constant output has input-dependence exactly 0."""

from functools import partial

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_networks import images, mlp_spec, networks

from weightspace.tasks import (
    agreement_counts,
    constant_output,
    dependence_pairs,
    fraction_below,
    mean_interval,
    objective,
    objective_values,
    pair_interval,
    resample,
    score,
    select,
)
from weightspace.tasks.improve.metrics import pieces
from weightspace.zoo import stacked_mlp

SPEC = mlp_spec((6, 5, 4, 3), "sign")
TANH = partial(stacked_mlp, activation="tanh")


def predictions(num, count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, (num, count), generator=generator, dtype=torch.uint8)


@given(num=st.integers(2, 6), count=st.integers(1, 15), seed=st.integers(0, 999))
def test_input_dependence_equals_the_double_loop_of_its_definition(num, count, seed):
    before, after = predictions(num, count, seed), predictions(num, count, seed + 1)

    def agreement(j, i):
        return float((after[j] == before[i]).double().mean())

    differences = [agreement(i, i) - agreement(j, i) for i in range(num) for j in range(num) if i != j]
    pairs = dependence_pairs(agreement_counts(after, before), count)
    weights = resample(np.arange(num))
    assert abs(pair_interval(pairs, weights).mean - np.mean(differences)) < 1e-12


@given(num=st.integers(2, 8), seed=st.integers(0, 999))
def test_a_constant_output_has_input_dependence_exactly_zero(num, seed):
    params, (x, y) = networks(SPEC, num, seed), images(31, 6, 3, seed)
    same = constant_output(select(params, slice(0, 1)), num)
    before, after = score(params, x, y, TANH), score(same, x, y, TANH)
    pairs = dependence_pairs(agreement_counts(after.predictions, before.predictions), len(x))
    interval = pair_interval(pairs, resample(np.arange(num)))
    assert (interval.mean, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_the_identity_depends_on_its_input():
    params, (x, y) = networks(SPEC, 6), images(200, 6, 3)
    found = score(params, x, y, TANH).predictions
    interval = pair_interval(dependence_pairs(agreement_counts(found, found), 200), resample(np.arange(6)))
    assert 0 < interval.low < interval.mean < interval.high


@given(num=st.integers(1, 5), seed=st.integers(0, 99))
def test_scores_do_not_depend_on_how_networks_are_cut_into_pieces(num, seed):
    params, (x, y) = networks(SPEC, num, seed), images(20, 6, 3, seed)
    whole = score(params, x, y, TANH)
    for i in range(num):
        logits = TANH(select(params, slice(i, i + 1)), x)[0]
        assert abs(float(whole.accuracy[i]) - float((logits.argmax(-1) == y).float().mean())) < 1e-6
        assert abs(float(whole.loss[i]) - float(torch.nn.functional.cross_entropy(logits, y))) < 1e-5


def test_objective_values_are_the_objective_network_by_network():
    params, old, (x, y) = networks(SPEC, 3), networks(SPEC, 3, 1), images(20, 6, 3)
    task = objective("distill", 0.01, TANH)
    torch.testing.assert_close(objective_values(task, params, old, x, y), task(params, old, x, y))


@given(num=st.integers(1, 300), count=st.sampled_from([1, 100, 5000, 50_000]))
def test_pieces_cover_every_network_once_and_stay_small(num, count):
    cut = list(pieces(num, count))
    assert [i for piece in cut for i in range(piece.start, piece.stop)] == list(range(num))
    assert all((piece.stop - piece.start) * count * 64 * 4 < 32e6 for piece in cut)


def test_fraction_below_counts_small_parameters():
    params = {"w": torch.tensor([[0.0, -5e-4, 0.5], [1.0, 2.0, 3.0]])}
    torch.testing.assert_close(fraction_below(params, 1e-3), torch.tensor([2 / 3, 0.0]))


def test_bootstrap_interval_of_a_mean_is_that_of_the_normal_approximation():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=400)
    interval = mean_interval(values, resample(np.arange(400)))
    half = 1.96 * values.std() / 20
    assert interval.mean == values.mean()
    assert abs(interval.low - (values.mean() - half)) < 0.03
    assert abs(interval.high - (values.mean() + half)) < 0.03


def test_checkpoints_of_one_run_do_not_make_an_interval_narrower():
    values = np.random.default_rng(0).normal(size=50)
    once = mean_interval(values, resample(np.arange(50)))
    copied = mean_interval(np.repeat(values, 3), resample(np.repeat(np.arange(50), 3)))
    as_if_new = mean_interval(np.repeat(values, 3), resample(np.arange(150)))
    assert abs((copied.high - copied.low) - (once.high - once.low)) < 1e-9
    assert as_if_new.high - as_if_new.low < 0.75 * (once.high - once.low)


def test_paired_intervals_use_the_same_draws():
    values = np.random.default_rng(0).normal(size=30)
    weights = resample(np.arange(30))
    gain = mean_interval((values + 0.5) - values, weights)
    assert abs(gain.low - 0.5) < 1e-12
    assert abs(gain.high - 0.5) < 1e-12
