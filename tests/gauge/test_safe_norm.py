"""The norm and the reciprocal under every division of the library: any magnitude, zero included."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specs import seeds

from weightspace.gauge import neuron_gauge, reciprocal_or_zero, safe_norm
from weightspace.spec import parse
from weightspace.testing import random_params

magnitudes = st.sampled_from([1e-30, 1e-15, 1.0, 1e15, 1e30])


def norm_and_gradient(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.detach().clone().requires_grad_()
    norm = safe_norm(x)
    norm.sum().backward()
    assert x.grad is not None
    return norm.detach(), x.grad


@given(size=st.integers(1, 6), magnitude=magnitudes, seed=seeds)
def test_norm_and_gradient_agree_with_float64_at_any_magnitude(size, magnitude, seed):
    x = (torch.randn(4, size, generator=torch.Generator().manual_seed(seed)) * magnitude).float()
    norm, gradient = norm_and_gradient(x)
    wide = x.double().requires_grad_()
    (torch.linalg.vector_norm(wide, dim=-1)).sum().backward()
    torch.testing.assert_close(norm.double(), torch.linalg.vector_norm(x.double(), dim=-1), rtol=1e-6, atol=0.0)
    torch.testing.assert_close(gradient.double(), wide.grad, rtol=1e-5, atol=1e-7)


@given(size=st.integers(1, 6))
def test_norm_of_the_zero_vector_is_zero_with_gradient_zero(size):
    norm, gradient = norm_and_gradient(torch.zeros(2, size))
    assert torch.equal(norm, torch.zeros(2))
    assert torch.equal(gradient, torch.zeros(2, size))


def test_zero_rows_do_not_disturb_others():
    norm, gradient = norm_and_gradient(torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0]]))
    torch.testing.assert_close(norm, torch.tensor([5.0, 0.0, 1e-30]), rtol=1e-6, atol=0.0)
    torch.testing.assert_close(gradient, torch.tensor([[0.6, 0.8], [0.0, 0.0], [1.0, 0.0]]))


def test_norm_passes_gradcheck_in_float64():
    x = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(safe_norm, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reciprocal_is_finite_everywhere_and_zero_at_zero(dtype):
    tiny, largest = torch.finfo(dtype).tiny, torch.finfo(dtype).max
    s = torch.tensor([0.0, tiny / 4, tiny, 1e-30, 2.0, 1e30, largest], dtype=dtype, requires_grad=True)
    inverse = reciprocal_or_zero(s)
    inverse.sum().backward()
    assert inverse.isfinite().all()
    assert inverse[:2].tolist() == [0.0, 0.0]
    assert inverse[4] == 0.5
    assert s.grad is not None
    assert torch.equal(s.grad[:2], torch.zeros(2, dtype=dtype))


@given(seed=seeds)
def test_gauge_gradients_are_finite_with_dead_neurons(seed):
    spec = parse("in[2] fixed\nh0[3] positive\nh1[2] positive\nout[1] fixed\n\na h0 in~\nb h0\nc h1 h0~\nd out h1~")
    params = random_params(spec, 2, seed=seed)
    params["a"][:, 0] = params["b"][:, 0] = params["c"][:, 1] = 0.0
    params = {name: value.requires_grad_() for name, value in params.items()}
    gauge = neuron_gauge(params, spec)
    sum(value.sum() for value in gauge.values()).backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in params.values())
    assert (gauge["h0"][:, 0] == 0).all()
    assert (gauge["h1"][:, 1] == 0).all()
