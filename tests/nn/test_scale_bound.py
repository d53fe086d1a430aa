"""The scale family on networks whose neurons are bound to each other; more of them in test_derive_architectures."""

import pytest
import torch
from architectures import ARCHITECTURES
from torch import nn

from weightspace import SpecError, derive
from weightspace.nn import (
    AbstractFamily,
    Architecture,
    MatrixFamily,
    ScaleFamily,
)
from weightspace.testing import assert_equivariant, assert_invariant, equivariance_error, random_params
from weightspace.view import PlainView


@pytest.fixture(scope="module")
def first_network():
    """The spec of the first network of the README."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4), nn.Tanh(), nn.Linear(4, 2)
    )
    return derive(net, torch.randn(2, 3, 4, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("family", [MatrixFamily(width=8), ScaleFamily(width=8)])
def test_the_first_network_of_the_readme_is_read_and_written(family: AbstractFamily, dtype, first_network):
    torch.manual_seed(0)
    architecture = Architecture(first_network)
    params = random_params(first_network, 4, dtype=dtype)
    assert_invariant(family.functional(architecture, 3).to(dtype), first_network, params)
    assert_equivariant(family.operator(architecture).to(dtype), first_network, params)


def test_the_broken_twin_breaks_there(first_network):
    torch.manual_seed(0)
    twin = ScaleFamily(width=8).twins()["broken"].operator(Architecture(first_network)).double()
    params = random_params(first_network, 4, dtype=torch.float64)
    assert equivariance_error(twin, first_network, params)[0] > 1e-2


def test_a_batch_norm_is_a_diagonal_matrix_from_where_signs_act_to_where_none_does(first_network):
    view = PlainView(first_network)
    params = random_params(first_network, 2, dtype=torch.float64)
    (one,) = view.diagonals
    matrix = view(params)[one.name]
    assert (one.target.signs, one.source.signs) == ((), ("h0",))
    assert torch.equal(torch.diagonal(matrix[..., 1], dim1=1, dim2=2), params["1.weight"])
    assert matrix.count_nonzero() == 2 * 8 * 3  # of convolution, mean and gain
    change = {name: torch.zeros_like(value) for name, value in view(params).items()}
    change[one.name] += 1
    written = view.write(change)
    assert {name for name, value in written.items() if value.any()} == {"0.bias", "1.weight", "1.running_mean"}


@pytest.mark.parametrize("name", ["vit", "resnext"])
def test_heads_and_groups_are_refused_by_name(name):
    entry = ARCHITECTURES[name]
    architecture = Architecture(derive(entry.factory(), entry.example()))
    with pytest.raises(SpecError, match=r"parameter '.+' is not read.*--model\.kind matrix"):
        ScaleFamily().functional(architecture, 1)
