"""Order and intervals of predicted accuracies, against values counted by hand."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weightspace.tasks import PredictAccuracy
from weightspace.tasks.predict_accuracy import COVERAGE
from weightspace.tasks.rank import r_squared, tau, tau_ceiling, tau_interval

NUMBERS = st.lists(st.integers(0, 5), min_size=3, max_size=9)


def counted(x: list[float], y: list[float]) -> float:
    """Tau-b by its definition, pair by pair."""
    pairs = list(itertools.combinations(range(len(x)), 2))
    agree = sum(np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in pairs)
    apart = [sum(v[i] != v[j] for i, j in pairs) for v in (x, y)]
    return agree / (apart[0] * apart[1]) ** 0.5 if min(apart) else 0.0


@given(st.data())
def test_tau_is_that_of_its_definition(data: st.DataObject) -> None:
    x = data.draw(NUMBERS)
    y = data.draw(st.lists(st.integers(0, 5), min_size=len(x), max_size=len(x)))
    assert tau(np.array(x, float), np.array(y, float)) == pytest.approx(counted(x, y), abs=1e-12)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=5))
def test_the_ceiling_is_the_best_that_an_order_without_ties_reaches(true: list[int]) -> None:
    best = max(counted(list(order), true) for order in itertools.permutations(range(len(true))))
    assert tau_ceiling(np.array(true, float)) == pytest.approx(best, abs=1e-12)


def test_an_interval_of_tau_holds_it_and_narrows_with_networks() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for num in (20, 400):
        true = rng.random(num)
        predicted = true + 0.3 * rng.standard_normal(num)
        found = tau_interval(predicted, true, rng.multinomial(num, np.full(num, 1 / num), size=200))
        assert found.low <= found.mean <= found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2


def test_shares_of_variance() -> None:
    true = np.array([0.1, 0.2, 0.6])
    assert r_squared(true, true) == 1
    assert r_squared(np.full(3, true.mean()), true) == pytest.approx(0)
    assert r_squared(1 - true, true) < 0


def test_intervals_cover_as_often_as_they_say() -> None:
    generator = torch.Generator().manual_seed(0)
    task, inside = PredictAccuracy(), []
    for _ in range(200):
        true = torch.rand(60, 1, generator=generator, dtype=torch.float64).mul(0.6).add(0.2)
        answers = (true + 0.1 * torch.rand(60, 1, generator=generator, dtype=torch.float64)).logit()
        known = task.calibrated(answers[:40], true[:40])
        inside.append(task.covered(answers[40:], true[40:], known)["inside"].double().mean())
    assert float(torch.stack(inside).mean()) == pytest.approx(COVERAGE, abs=0.02)
    (said, *_) = task.said(torch.zeros(1, 1), {"interval": "0.6"})
    assert said == {"accuracy": 0.5, "low": 0.0, "high": 1.0}


def test_networks_are_grouped_by_their_settings_under_either_name() -> None:
    task = PredictAccuracy()
    rates = np.geomspace(1e-4, 1e-1, 30)
    own = task.strata({"learning_rate": rates, "optimizer": np.array(["sgd"] * 30), "epoch": np.arange(30) % 2})
    assert sorted(own) == ["epoch", "learning_rate"]
    assert [own["learning_rate"].count(name) for name in dict.fromkeys(own["learning_rate"])] == [10, 10, 10]
    assert task.strata({"config.learning_rate": rates}) == {"learning_rate": own["learning_rate"]}
