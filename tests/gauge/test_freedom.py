"""The scaling group of a layer: the exact count is the numerical one, and both are those of torch's layers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from weightspace import ConfigError
from weightspace.gauge import LayerShape, generic_freedom, layer_freedom, null_space_freedom


@st.composite
def shapes(draw, axes=(0, 2), size=(1, 6), bias=None):
    count = draw(st.integers(*axes))
    kernel = [draw(st.integers(1, 3)) for _ in range(count)]
    dilation = [draw(st.integers(1, 2)) for _ in range(count)]
    least = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    # Made into a layer in the test: the type checker draws from `random`, whose state a strategy must leave alone.
    return (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
        tuple(low + draw(st.integers(*size)) for low in least),
        tuple(kernel),
        tuple(draw(st.integers(1, 4)) for _ in range(count)),
        tuple(draw(st.integers(0, 2)) for _ in range(count)),
        tuple(dilation),
        draw(st.booleans()) if bias is None else bias,
    )


def matrix(shape, weight):
    dense = torch.zeros(shape.rows, shape.columns, dtype=torch.float64)
    for row, column, number in shape.entries():
        dense[row, column] = weight.flatten()[number]
    return dense


def convolve(shape, weight, x):
    if not shape.size:
        return x @ weight.T
    conv = (functional.conv1d, functional.conv2d)[len(shape.size) - 1]
    return conv(x, weight, None, shape.stride, shape.padding, shape.dilation)


@given(shape=shapes())
def test_the_matrix_is_torchs_layer(shape):
    shape = LayerShape(*shape)
    weight = torch.randn(shape.outputs, shape.inputs, *shape.kernel, dtype=torch.float64)
    x = torch.randn(3, shape.inputs, *shape.size, dtype=torch.float64)
    torch.testing.assert_close(x.flatten(1) @ matrix(shape, weight).T, convolve(shape, weight, x).flatten(1))


@settings(max_examples=20)
@given(shape=shapes())
def test_the_exact_count_is_the_dimension_of_the_null_space(shape):
    shape = LayerShape(*shape)
    found = layer_freedom(shape)
    assert (found.scales, found.effective) == null_space_freedom(shape)
    assert found.scales <= shape.rows + shape.columns
    assert found.effective <= shape.weights + shape.outputs * shape.bias


@settings(max_examples=20)
@given(shape=shapes(axes=(1, 2), size=(9, 11)))
def test_for_large_inputs_the_count_has_a_closed_form(shape):
    shape = LayerShape(*shape)
    assert layer_freedom(shape).effective == generic_freedom(shape)


@given(n=st.integers(1, 6), m=st.integers(1, 6))
def test_a_fully_connected_layer_has_n_plus_m_scales_of_which_one_does_nothing(n, m):
    found = layer_freedom(LayerShape(n, m))
    assert (found.scales, found.effective, found.signs) == (n + m, n + m - 1, n + m)


def square(channels, size, kernel, stride=1, padding=0, bias=False):
    return LayerShape(*channels, *((value,) * 2 for value in (size, kernel, stride, padding, 1)), bias=bias)


@given(c=st.integers(1, 3), o=st.integers(1, 3), kernel=st.integers(1, 3), padding=st.integers(0, 2))
def test_with_a_bias_and_stride_1_the_lemma_holds(c, o, kernel, padding):
    shape = square((c, o), 5, kernel, padding=min(padding, kernel - 1), bias=True)
    assert layer_freedom(shape).scales == c + o


@given(c=st.integers(1, 2), o=st.integers(1, 2), kernel=st.integers(2, 3))
def test_without_a_bias_scales_may_grow_along_both_axes(c, o, kernel):
    shape = square((c, o), 6, kernel)
    assert layer_freedom(shape).scales == c + o + 2
    # The counterexample to Lemma 1: neither diagonal matrix is a multiple of the identity.
    step = torch.tensor([0.3, -0.7], dtype=torch.float64)

    def growing(size, channels):
        places = torch.cartesian_prod(torch.arange(size), torch.arange(size)).double()
        return torch.exp(places @ step).repeat(channels)

    weight = torch.randn(o, c, kernel, kernel, dtype=torch.float64)
    changed = weight / growing(kernel, 1).view(kernel, kernel)
    scaled = growing(7 - kernel, o)[:, None] * matrix(shape, weight) / growing(6, c)
    torch.testing.assert_close(scaled, matrix(shape, changed))


@given(kernel=st.integers(1, 3), more=st.integers(0, 2), bias=st.booleans())
def test_patches_that_do_not_overlap_leave_every_kernel_weight_its_own_scale(kernel, more, bias):
    shape = square((1, 1), 7, kernel, stride=kernel + more, bias=bias)
    found = layer_freedom(shape)
    assert found.effective == kernel**2 + bias
    if not bias:
        unread = shape.columns - shape.rows * kernel**2
        assert found.scales == shape.rows + kernel**2 + unread


def test_a_kernel_as_large_as_its_input_is_as_free_as_a_fully_connected_layer():
    shape = square((2, 3), 3, 3)
    assert layer_freedom(shape).scales == shape.rows + shape.columns


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((1, 1, (3,), (2, 2), (1,), (0,), (1,)), "one number per spatial axis"),
        ((0, 1), "at least 1"),
        ((1, 1, (3,), (2,), (0,), (0,), (1,)), "at least 1"),
        ((1, 1, (3,), (5,), (1,), (0,), (1,)), "Give a larger input"),
        ((1, 1, (3,), (3,), (1,), (-1,), (1,)), "Give a larger input"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(arguments, said):
    with pytest.raises(ConfigError, match=said):
        LayerShape(*arguments)


@given(c=st.integers(1, 3), o=st.integers(2, 4))
def test_in_a_network_with_given_inputs_each_hidden_channel_has_one_scale_without_biases_too(c, o):
    from weightspace.gauge import scaling_rank

    net = nn.Sequential(
        nn.Conv2d(c, o, 2, bias=False),
        nn.ReLU(),
        nn.Conv2d(o, 3, 2, stride=2, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12, 2, bias=False),
    )
    assert scaling_rank(net, torch.zeros(2, c, 5, 5)).count == o + 3
