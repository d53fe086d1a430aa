"""The readers that ship with the package: alike for copies of a network, and right about digit networks."""

import numpy as np
import pytest
import torch

from weightspace.recipes import zoo as zoo_recipe
from weightspace.run import models
from weightspace.tasks.rank import tau
from weightspace.testing import assert_invariant, random_params
from weightspace.zoo import Zoo, make_zoo

READERS = ("classify_inr_mnist", "predict_accuracy_digits")


@pytest.mark.parametrize("name", READERS)
def test_copies_in_other_gauges_are_read_alike_and_networks_apart(name):
    loaded = models.load(models.find(name))
    assert_invariant(loaded.module, loaded.spec, random_params(loaded.spec, 8))


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
