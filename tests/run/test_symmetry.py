"""The gauge error in a run's report: small for models that keep the symmetry, large for twins that do not."""

from typing import Literal

import pytest
import torch

import weightspace as ws
from weightspace.nn import Architecture, MatrixFamily
from weightspace.run.symmetry import symmetry_error, symmetry_table
from weightspace.testing import random_params

RELU = ws.parse("in[3] fixed\nh[5] positive\nout[2] fixed\n\nw0 h in~\nb0 h\nw1 out h~\nb1 out")


def network_reader(symmetry: Literal["full", "broken"]) -> torch.nn.Module:
    torch.manual_seed(0)
    return MatrixFamily(width=8, rounds=2, symmetry=symmetry).functional(Architecture(RELU), 1).eval()


def test_a_reader_that_keeps_the_symmetry_has_a_small_error_and_its_broken_twin_a_large_one():
    params = random_params(RELU, 100)
    found = symmetry_error(network_reader("full"), RELU, params, 7)
    assert (found["networks"], found["left_out"]) == (64, 0)
    assert found["error"] < 1e-4 < 1e-2 < symmetry_error(network_reader("broken"), RELU, params, 7)["error"]


def test_an_operator_is_measured_by_the_changes_that_it_makes():
    torch.manual_seed(0)
    operator = MatrixFamily(width=8, rounds=2).operator(Architecture(RELU)).eval()
    assert symmetry_error(operator, RELU, random_params(RELU, 4), 3)["error"] < 1e-4


def test_networks_whose_copies_lose_digits_are_left_out_and_counted():
    params = random_params(RELU, 5)
    params["w0"][3, 2] *= 1e-41  # no ordinary number in float32
    found = symmetry_error(network_reader("full"), RELU, params, 7)
    assert (found["networks"], found["left_out"]) == (4, 1)
    assert found["error"] < 1e-4


def test_of_too_few_networks_nothing_is_said():
    params = random_params(RELU, 1)
    assert symmetry_error(network_reader("full"), RELU, params, 7)["error"] is None


@pytest.mark.parametrize(("error", "said"), [(2e-7, "2.0e-07"), (None, "-")])
def test_the_table_has_a_line_for_each_model(error, said):
    rows = [{"method": "constant"}, {"method": "ours", "symmetry": {"error": error, "networks": 4, "left_out": 1}}]
    table = symmetry_table({"rows": rows})
    assert table is not None
    assert table.rows == (("ours", said, "4"),)
    assert len(table.notes) == 1
    assert symmetry_table({"rows": rows[:1]}) is None
