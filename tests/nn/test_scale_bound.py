"""The scale family on networks whose neurons are bound to each other: normalization, products, cells, residual sums."""

import pytest
import torch
from architectures import ARCHITECTURES
from architectures.reading import networks, pulled_back
from torch import nn

from weightspace import SpecError, derive
from weightspace.gauge import act, sample
from weightspace.nn import (
    AbstractFamily,
    Architecture,
    EquivariantOperator,
    InvariantFunctional,
    MatrixFamily,
    ScaleFamily,
)
from weightspace.testing import assert_equivariant, assert_invariant, equivariance_error, random_params
from weightspace.view import PlainView

BOUND = ["batchnorm_cnn", "bilinear_product", "lstm_tagger", "layernorm_mlp", "resnet20_option_a", "shufflenet"]


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


@pytest.mark.parametrize("name", BOUND)
def test_bound_neurons_keep_the_laws_and_every_number_of_theirs_is_seen(name):
    entry = ARCHITECTURES[name]
    spec = derive(entry.factory(), entry.example())
    params, names = networks(name)
    some, element = {key: value[:4] for key, value in params.items()}, sample(spec, 0, num=4)
    torch.manual_seed(0)
    functional = InvariantFunctional(spec, 8, 16, rounds=2).double()
    there = act(element, some, spec)
    with torch.no_grad():
        out = functional({key: torch.cat([params[key], there[key]]) for key in params})
    spread = (out[:4] - out[:4].roll(1, 0)).abs().max()
    assert spread > 1e-2 * out.abs().max()
    assert (out[-4:] - out[:4]).abs().max() <= 1e-10 * spread
    moves = (out[4:-4] - out[0]).abs().amax(1).view(len(names), -1).amax(1) / spread
    assert moves.min() > 1e-6, names[int(moves.argmin())]  # what is not read moves nothing
    error, smallest = pulled_back(EquivariantOperator(spec, 8, rounds=2).double(), spec, some, element)
    assert error <= 1e-10
    assert smallest > 1e-4


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
