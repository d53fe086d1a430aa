"""The scale family on networks whose neurons are bound to each other; more of them in test_derive_architectures."""

import pytest
import torch
from torch import nn

from weightspace import ConfigError, SpecMismatch, derive
from weightspace.nn import (
    AbstractFamily,
    Architecture,
    EquivariantOperator,
    InvariantFunctional,
    MatrixFamily,
    ScaleFamily,
)
from weightspace.spec import without_scales
from weightspace.testing import (
    assert_equivariant,
    assert_invariant,
    equivariance_error,
    invariance_error,
    random_params,
)
from weightspace.view import PlainView


@pytest.fixture(scope="module")
def first_network():
    """The spec of the first network of the README."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4), nn.Tanh(), nn.Linear(4, 2)
    )
    return derive(net, torch.randn(2, 3, 4, 4))


@pytest.mark.parametrize(
    ("family", "dtype"),
    [
        (MatrixFamily(width=8), torch.float32),
        (MatrixFamily(width=8), torch.float64),
        (ScaleFamily(width=8), torch.float32),
        (ScaleFamily(width=8), torch.float64),
        (ScaleFamily(width=8, sign="symmetrized", direction="forward", recompute=True), torch.float64),
    ],
)
def test_the_first_network_of_the_readme_is_read_and_written(family: AbstractFamily, dtype, first_network):
    torch.manual_seed(0)
    architecture = Architecture(first_network)
    params = random_params(first_network, 4, dtype=dtype)
    assert_invariant(family.functional(architecture, 3).to(dtype), first_network, params)
    assert_equivariant(family.operator(architecture).to(dtype), first_network, params)


def test_twins_break_there_what_they_leave_out(first_network):
    params = random_params(first_network, 4, dtype=torch.float64)
    architecture, orders = Architecture(first_network), without_scales(first_network)
    for symmetry in ("broken", "permutations"):
        torch.manual_seed(0)
        family = ScaleFamily(width=8, symmetry=symmetry)
        functional, operator = family.functional(architecture, 3).double(), family.operator(architecture).double()
        error, spread = invariance_error(functional, first_network, params)
        assert error > 1e-2 * spread
        assert equivariance_error(operator, first_network, params)[0] > 1e-2
        assert_equivariant(operator, orders, params)


@pytest.mark.parametrize("activation", [torch.cos, torch.abs])
def test_an_order_on_one_side_alone_is_another_network(activation):
    # Signs act on what arrives at the hidden neurons and not on what leaves: two fields, joined by no parameter.
    net = Bent(activation).double()
    spec = derive(net, torch.randn(2, 3, dtype=torch.float64))
    params = random_params(spec, 4, dtype=torch.float64)
    swapped = params | {"a.weight": params["a.weight"][:, [1, 2, 3, 4, 5, 0]]}
    torch.manual_seed(0)
    model = InvariantFunctional(spec, 8, 3).double()
    with torch.no_grad():
        here, there = model(params), model(swapped)
    assert (here - there).abs().max() > 1e-3 * (here - here.roll(1, 0)).abs().max()
    assert_invariant(model, spec, params)
    assert_equivariant(EquivariantOperator(spec, 8).double(), spec, params)


class Bent(nn.Module):
    """Two layers without biases, and an even activation between them."""

    def __init__(self, activation) -> None:
        super().__init__()
        self.a, self.b, self.activation = nn.Linear(3, 6, bias=False), nn.Linear(6, 2, bias=False), activation

    def forward(self, x):
        return self.b(self.activation(self.a(x)))


def test_blocks_are_refused_where_they_cannot_measure_neurons(first_network):
    with pytest.raises(ConfigError, match=r"positive='blocks'.*Take positive='normal_form'"):
        ScaleFamily(positive="blocks").functional(Architecture(first_network), 1)


def test_single_networks_and_empty_stacks_are_refused(first_network):
    model, params = InvariantFunctional(first_network, 4), random_params(first_network, 1)
    with pytest.raises(SpecMismatch, match="Stack it"):
        model({name: value[0] for name, value in params.items()})
    with pytest.raises(SpecMismatch, match="holds 0 networks"):
        model({name: value[:0] for name, value in params.items()})


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
