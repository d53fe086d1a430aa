"""Hyper-parameters, initial weights, dropout masks and splits: functions of (zoo seed, run) alone."""

from collections import Counter

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from zoo_material import TINY, draws

from weightspace.zoo import HyperSpace, Siren
from weightspace.zoo._dropout import DropoutMasks
from weightspace.zoo._hyper import Hyper, draw_hyper, run_seed, split_of, stream
from weightspace.zoo._init import initial_weights


def test_draws_stay_in_their_ranges_and_fill_them():
    space, hypers = HyperSpace(), draws(600)
    for name in ("learning_rate", "l2"):
        logs = np.log([getattr(hyper, name) for hyper in hypers])
        low, high = np.log(getattr(space, name))
        places = (logs - low) / (high - low)
        assert places.min() >= 0
        assert places.max() <= 1
        assert abs(places.mean() - 0.5) < 0.05
        assert abs(places.std() - 12**-0.5) < 0.03
    for name, choices in (("optimizer", space.optimizers), ("init", space.inits), ("fraction", space.fractions)):
        counts = Counter(getattr(hyper, name) for hyper in hypers)
        assert set(counts) == set(choices)
        assert min(counts.values()) > 0.7 * len(hypers) / len(choices)
    rates = np.array([hyper.dropout for hyper in hypers])
    assert np.array_equal(rates * 256, np.round(rates * 256))
    assert abs(rates.mean() - 0.35) < 0.03
    stds = [hyper.init_std for hyper in hypers if hyper.init_std is not None]
    assert min(stds) ** 2 >= 1e-3 * 0.999
    assert max(stds) ** 2 <= 0.5 * 1.001
    assert all((h.init_std is None) == (h.init not in ("normal", "truncated_normal")) for h in hypers)


def test_runs_of_one_zoo_and_of_two_zoos_differ():
    seeds = [run_seed(zoo, run) for zoo in range(5) for run in range(500)]
    assert len(set(seeds)) == len(seeds)
    assert draws(5) == draws(9)[:5]
    assert draws(5, seed=1) != draws(5, seed=2)


def test_narrowing_one_range_leaves_the_other_draws_alone():
    free, fixed = draws(20), draws(20, optimizers=("adam",), dropout=(0.0, 0.0))
    assert [h.learning_rate for h in free] == [h.learning_rate for h in fixed]
    assert [h.fraction for h in free] == [h.fraction for h in fixed]


def test_splits_are_80_10_10_of_every_ten_runs():
    for seed in (0, 7):
        splits = [split_of(seed, run) for run in range(200)]
        for start in range(0, 200, 10):
            assert Counter(splits[start : start + 10]) == {"train": 8, "val": 1, "test": 1}
        assert splits == [split_of(seed, run) for run in range(200)]
    assert [split_of(0, run) for run in range(50)] != [split_of(1, run) for run in range(50)]


@pytest.mark.parametrize("init", ["glorot", "he", "orthogonal", "truncated_normal", "normal"])
def test_initial_weights_have_the_variance_of_their_kind(init):
    hyper = Hyper(0, 1, "sgd", 0.1, 0.0, init, 0.3 if "normal" in init else None, 0.0, 1.0)
    weights = initial_weights(hyper, {"w": (200, 100), "b": (200,)}, stream(1, "init"))
    # A standard normal cut at two standard deviations has variance 0.7737.
    want = {"glorot": 2 / 300, "he": 2 / 100, "orthogonal": 1 / 200, "truncated_normal": 0.09 * 0.7737, "normal": 0.09}
    assert abs(weights["w"].var() / want[init] - 1) < 0.05
    assert not weights["b"].any()
    if init == "orthogonal":
        np.testing.assert_allclose(weights["w"].T @ weights["w"], np.eye(100), atol=1e-10)
    if init == "truncated_normal":
        assert np.abs(weights["w"]).max() <= 0.6


def test_dropout_drops_its_share_and_keeps_the_mean():
    rates = [0.0, 0.25, 0.5, 178 / 256]
    masks = DropoutMasks([stream(k, "dropout") for k in range(4)], rates, (48, 32), 64)
    drawn = [masks.next(64) for _ in range(40)]
    for layer in range(2):
        factors = torch.stack([step[layer] for step in drawn], dim=1)
        for k, rate in enumerate(rates):
            mine = factors[k]
            values = set(mine.unique().tolist())
            assert len(values) == (1 if rate == 0 else 2)
            assert max(values) == pytest.approx(1 / (1 - rate))
            assert (mine == 0).float().mean().item() == pytest.approx(rate, abs=0.01)
            # Units, images and steps are independent: the share varies between them as it should.
            for axis in range(3):
                others = [a for a in range(3) if a != axis]
                shares = (mine == 0).float().mean(others)
                count = mine.numel() / mine.shape[axis]
                assert shares.std().item() <= 1.5 * (rate * (1 - rate) / count) ** 0.5


def test_dropout_of_a_network_ignores_its_neighbours():
    seeds, rates = [stream(k, "dropout") for k in range(3)], [0.5, 0.25, 0.125]
    together = DropoutMasks(seeds, rates, (5, 3), 9)
    alone = DropoutMasks([stream(1, "dropout")], [0.25], (5, 3), 9)
    for batch in [9] * 20 + [4] * 20:
        for a, b in zip(together.next(batch), alone.next(batch), strict=True):
            assert torch.equal(a[1:2], b)


def test_hyper_ranges_are_checked():
    for wrong in ({"learning_rate": (0.1, 0.01)}, {"dropout": (0.0, 1.0)}, {"fractions": (0.0,)}, {"optimizers": ()}):
        with pytest.raises(ValidationError):
            HyperSpace.model_validate(wrong)
    assert draw_hyper(HyperSpace(learning_rate=(0.1, 0.1)), 0, 0).learning_rate == pytest.approx(0.1)


def test_siren_starts_with_unit_variance_before_each_sine():
    torch.manual_seed(0)
    siren = Siren((2, 256, 256, 1))
    x = torch.rand(500, 2) * 2 - 1
    h = torch.sin(30 * siren.layers[0](x))
    assert 0.5 < (30 * (h @ siren.layers[1].weight.T)).std().item() < 2
    assert siren(x).shape == (500, 1)
    assert list(siren.state_dict())[:2] == ["layers.0.weight", "layers.0.bias"]
    assert list(TINY.shapes()) == list(TINY.build().state_dict())
    assert [tuple(value.shape) for value in TINY.build().state_dict().values()] == list(TINY.shapes().values())
