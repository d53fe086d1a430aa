"""The parts alone: each scales as it says, at any magnitude, with finite gradients at zero."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specs import GROUPS, any_group, seeds
from torch import Tensor

from weightspace.gauge import SCALE_GROUPS
from weightspace.nn import Absolute, GaugeNorm, Mlp, ReScaleEq, ScaleEq, ScaleInv, Symmetrized, UnitNorm
from weightspace.nn._invariant import SignInvariant, invariant

sizes = st.integers(1, 6)
signs = st.sampled_from(["absolute", "symmetrized"])
magnitudes = st.sampled_from([1e-15, 1.0, 1e15])


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scales(group: str, seed: int, *shape: int) -> Tensor:
    return SCALE_GROUPS[group].sample(shape, torch.Generator().manual_seed(seed), 64.0)


def part(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The module with random weights of this seed, float64."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(torch.randn(value.shape, generator=generator, dtype=torch.float64) / value.shape[-1] ** 0.5)
    return module


def scale_inv(width: int, hidden: int, out: int, group: str, sign: SignInvariant) -> ScaleInv:
    return ScaleInv(invariant(group, width, hidden, sign), Mlp(width, hidden, out))


def close(have: Tensor, want: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(have, want, rtol=0.0, atol=tolerance * float(want.detach().abs().max()))


@given(group=any_group, sign=signs, width=sizes, seed=seeds)
def test_scale_inv_is_invariant(group, sign: SignInvariant, width, seed):
    model, x = part(scale_inv(width, 4, 3, group, sign), seed), normal(seed, 5, width)
    close(model(scales(group, seed, 5, 1) * x), model(x))


@given(group=any_group, sign=signs, width=sizes, seed=seeds)
def test_scale_eq_scales_as_its_input(group, sign: SignInvariant, width, seed):
    model, x, q = part(ScaleEq(width, 4, 3, group, sign), seed), normal(seed, 5, width), scales(group, seed, 5, 1)
    close(model(q * x) / q, model(x))


@given(target=any_group, source=any_group, width=sizes, dim=st.sampled_from([1, 2]), seed=seeds)
def test_rescale_eq_multiplies_the_scales(target, source, width, dim, seed):
    model = part(ReScaleEq(width), seed)
    q_i, q_j = scales(target, seed, 1, 4, 1, 1), scales(source, seed + 1, 1, 1, 3, 1)
    e, x = normal(seed, 2, 4, 3, width), normal(seed + 1, 2, 3 if dim == 2 else 4, width)
    here = model(x, e, dim)
    if dim == 2:  # senders are the sources: q_j * q_i / q_j
        close(model(q_j.squeeze(1) * x, q_i / q_j * e, dim) / q_i, here)
    else:  # senders are the targets, divided by their squared scale: (1 / q_i) * (q_i / q_j)
        close(model(x / q_i.squeeze(2), q_i / q_j * e, dim) * q_j, here)


@given(width=sizes, dim=st.sampled_from([1, 2]), seed=seeds)
def test_mlp_total_is_the_sum_of_its_outputs(width, dim, seed):
    model, x = part(Mlp(width, 4, 3), seed), normal(seed, 2, 4, 5, width)
    close(model.total(x, dim), model(x).sum(dim))


@given(group=any_group, dim=st.sampled_from([1, 2]), seed=seeds)
def test_scale_eq_total_is_the_sum_of_its_outputs(group, dim, seed):
    model, x = part(ScaleEq(3, 4, 3, group, "absolute"), seed), normal(seed, 2, 4, 5, 3)
    close(model.total(x, dim), model(x).sum(dim))


@given(width=sizes, magnitude=magnitudes, seed=seeds)
def test_unit_norm_has_its_length_at_any_magnitude(width, magnitude, seed):
    x = normal(seed, 5, width)
    for scaled in (magnitude * x, (magnitude * x).float()):
        out = UnitNorm(3.0)(scaled)
        close(out.double().norm(dim=-1), torch.full((5,), 3.0, dtype=torch.float64), 1e-6)
        close(out.double(), UnitNorm(3.0)(x), 1e-6)


@pytest.mark.parametrize("magnitude", [1e-30, 1e-15, 1.0, 1e15, 1e30])
def test_unit_norm_gradient_agrees_with_float64_at_any_magnitude(magnitude):
    x = (magnitude * normal(0, 5, 4)).float().requires_grad_()
    wide = x.detach().double().requires_grad_()
    for value in (x, wide):
        UnitNorm()(value).pow(3).sum().backward()
    assert x.grad is not None
    assert wide.grad is not None
    close(x.grad.double(), wide.grad, 1e-5)


@given(width=sizes, seed=seeds)
def test_sign_invariants_ignore_a_common_sign(width, seed):
    x = normal(seed, 5, width)
    for module in (Absolute(), part(Symmetrized(width, 4), seed)):
        close(module(-x), module(x))


def test_symmetrization_sees_relative_signs_where_the_absolute_value_does_not():
    x, flipped = torch.tensor([[1.0, 2.0]]).double(), torch.tensor([[1.0, -2.0]]).double()
    assert torch.equal(Absolute()(x), Absolute()(flipped))
    model = part(Symmetrized(2, 8))
    assert (model(x) - model(flipped)).abs().max() > 1e-2


def test_symmetrization_is_rho_of_x_plus_rho_of_minus_x():
    model, x = part(Symmetrized(3, 4)), normal(0, 5, 3)

    def rho(x: Tensor) -> Tensor:
        return model.second(torch.nn.functional.silu(model.first(x)))

    close(model(x), rho(x) + rho(-x))


@pytest.mark.parametrize("sign", ["absolute", "symmetrized"])
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("magnitude", [0.0, 1e-30, 1e-15, 1e15])
def test_parts_are_finite_with_finite_gradients_at_any_magnitude(group, sign, magnitude):
    x = (magnitude * normal(0, 5, 4)).float()
    x[0] = 0.0
    for module in (scale_inv(4, 4, 3, group, sign), ScaleEq(4, 4, 3, group, sign)):
        value = x.clone().requires_grad_()
        out = part(module).float()(value)
        (out / out.detach().abs().max().clamp_min(1e-30)).sum().backward()
        assert out.isfinite().all()
        assert value.grad is not None
        assert value.grad.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("group", GROUPS)
def test_scale_eq_maps_zero_to_zero(group):
    assert not part(ScaleEq(4, 4, 3, group, "absolute"))(torch.zeros(2, 4).double()).any()


@given(group=any_group, width=sizes, num=sizes, seed=seeds)
def test_gauge_norm_scales_as_its_input(group, width, num, seed):
    model, x, gauge = part(GaugeNorm(width), seed), normal(seed, 2, num, width), normal(seed + 1, 2, num).exp()
    q = scales(group, seed, 2, num)
    close(model(q.unsqueeze(-1) * x, q.abs() * gauge) / q.unsqueeze(-1), model(x, gauge))


@given(width=sizes, num=sizes, seed=seeds)
def test_gauge_norm_gives_each_layer_root_mean_square_one_in_its_gauge(width, num, seed):
    x, gauge = 5.0 * normal(seed, 2, num, width), normal(seed + 1, 2, num).exp()
    z = GaugeNorm(width).double()(x, gauge) / gauge.unsqueeze(-1)
    close(z.square().mean((1, 2)), torch.ones(2, dtype=torch.float64), 1e-3)  # up to the eps of a layer near zero
    # One factor per network: the relative sizes of its neurons survive.
    ratio = z * gauge.unsqueeze(-1) / x
    close(ratio, ratio[:, :1, :1].expand_as(ratio))


def test_gauge_norm_is_finite_for_dead_neurons_and_zero_layers():
    x = normal(0, 2, 3, 4).float()
    x[0, 0] = x[1] = 0.0
    gauge = torch.tensor([[0.0, 1.0, 1e-15], [0.0, 0.0, 0.0]])
    x = x.requires_grad_()
    out = GaugeNorm(4)(x, gauge)
    out.sum().backward()
    assert out.isfinite().all()
    assert not out[0, 0].any()
    assert x.grad is not None
    assert x.grad.isfinite().all()
