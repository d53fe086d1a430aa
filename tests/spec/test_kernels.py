"""Kernels of grouped convolutions that are computed from a parameter: norms and sums over their axes."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from traced_networks import assert_preserved, noise

from weightspace import SpecError
from weightspace.spec import derive

Norm = Callable[[nn.Module], nn.Module]


class Divided(nn.Module):
    """The kernel, less its mean and over its largest entry along some axes."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, weight: Tensor) -> Tensor:
        centred = weight - weight.mean(self.dims, keepdim=True)
        return centred / (centred.abs().amax(self.dims, keepdim=True) + 1e-3)


def divided(*dims: int) -> Norm:
    def change(conv: nn.Module) -> nn.Module:
        nn.utils.parametrize.register_parametrization(conv, "weight", Divided(*dims))
        return conv

    return change


NORMS: dict[str, Norm] = {
    **{f"weight norm {dim}": lambda c, dim=dim: parametrizations.weight_norm(c, dim=dim) for dim in (0, 1, 2, None)},
    **{f"hook {dim}": lambda c, dim=dim: nn.utils.weight_norm(c, dim=dim) for dim in (0, 2)},
    **{f"divided {dims}": divided(*dims) for dims in ((0,), (1,), (1, 2), (0, 1, 2))},
}


class Grouped(nn.Module):
    """Eight neurons in two, four or eight groups; with a residual as in wav2vec 2.0's code of positions."""

    def __init__(self, norm: Norm, groups: int, residual: bool, transposed: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 8), nn.Linear(8, 2)
        kind = nn.ConvTranspose1d if transposed else nn.Conv1d
        self.conv, self.residual = norm(kind(8, 8, 3, padding=1, groups=groups)), residual

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x).transpose(1, 2)
        y = F.gelu(self.conv(h))
        return self.b((h + y if self.residual else y).transpose(1, 2))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("name", NORMS)
@settings(max_examples=2)
@given(groups=st.sampled_from([2, 4, 8]), residual=st.booleans(), transposed=st.booleans())
def test_norms_over_the_axes_of_a_grouped_kernel_keep_the_function(
    name: str, groups: int, residual: bool, transposed: bool
) -> None:
    net, x = Grouped(NORMS[name], groups, residual, transposed).double(), noise(2, 5, 3)
    torch.manual_seed(0)
    with torch.no_grad():
        for value in net.parameters():
            value.uniform_(0.5, 1.5)
    assert_preserved(net, derive(net, x), x)


def test_a_spectral_norm_is_refused_by_name() -> None:
    for groups in (1, 2, 8):
        net = Grouped(parametrizations.spectral_norm, groups, True, False).double()
        with pytest.raises(SpecError, match="vdot"):
            derive(net, noise(2, 5, 3))


def test_groups_and_channels_inside_a_group_are_permuted_through_a_weight_norm() -> None:
    for dim, scales in ((2, "h1[8] within h0"), (0, "h1[8] within h0 x nonzero")):
        net = Grouped(lambda c, dim=dim: parametrizations.weight_norm(c, dim=dim), 2, True, False)
        assert f"h0[2] S2 | {scales} | " in str(derive(net, noise(2, 5, 3).float()))
