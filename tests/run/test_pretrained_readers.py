"""The readers that ship with the package say the same of every copy of a network, and know networks they never saw."""

import numpy as np
import pytest
import torch

from weightspace.gauge import act, sample
from weightspace.recipes import zoo as zoo_recipe
from weightspace.run import models
from weightspace.tasks.rank import tau
from weightspace.testing import random_params
from weightspace.zoo import Zoo, make_zoo

READERS = ("classify_inr_mnist", "predict_accuracy_digits")


@pytest.mark.parametrize("name", READERS)
def test_copies_in_other_gauges_are_read_alike(name):
    loaded = models.load(models.find(name))
    params = random_params(loaded.spec, 8)
    copies = act(sample(loaded.spec, 0, num=8), params, loaded.spec)
    with torch.no_grad():
        here, there = loaded.module(params), loaded.module(copies)
    assert (here - there).abs().max() <= 1e-4 * (here - here.roll(1, 0)).abs().max()


def test_accuracies_of_new_digit_networks_lie_in_their_intervals(tmp_path):
    made = zoo_recipe("digits_mlp_tanh").model_copy(update={"num": 12, "seed": 99, "shard": 12})
    make_zoo(made, tmp_path / "zoo")
    zoo, loaded = Zoo.open(tmp_path / "zoo"), models.load(models.find("predict_accuracy_digits"))
    with torch.no_grad():
        said = loaded.task.said(loaded.module(zoo.load()), loaded.about)
    true = np.asarray(zoo.rows["test_accuracy"], dtype=np.float64)
    inside = [row["low"] <= value <= row["high"] for row, value in zip(said, true, strict=True)]
    assert len(true) == 36
    assert np.mean(inside) >= 0.75  # 90 % of many
    assert tau(np.array([row["accuracy"] for row in said]), true) > 0.5
