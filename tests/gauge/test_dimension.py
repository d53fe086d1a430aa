"""The dimension of the gauge equals what derivatives of the network count, and the number of elements."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from specs import networks, seeds, specs
from torch import nn

from weightspace import SpecMismatch, act, derive, parse, sample
from weightspace.gauge import dimension, identity, pivot_columns, scaling_rank


@settings(max_examples=15)
@given(case=networks())
def test_the_dimension_is_the_number_of_scalings_that_keep_the_outputs(case):
    found = scaling_rank(case.module, case.example)
    assert dimension(case.spec).scales == found.count
    assert found.gap > 1e6


@settings(max_examples=5)
@given(widths=st.lists(st.integers(1, 7), min_size=3, max_size=5), bias=st.booleans())
@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.Identity, nn.Tanh, nn.GELU])
def test_a_dense_network_has_a_scale_per_hidden_neuron(activation, widths, bias):
    layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b, bias), activation())]
    net, hidden = nn.Sequential(*layers[:-1]), sum(widths[1:-1])
    found = dimension(derive(net, torch.zeros(2, widths[0])))
    scales = hidden if activation in (nn.ReLU, nn.LeakyReLU, nn.Identity) else 0
    assert found.scales == scales == scaling_rank(net, torch.zeros(2, widths[0])).count
    assert found.signs == (hidden if activation in (nn.Identity, nn.Tanh) else 0)
    assert found.log2_permutations == pytest.approx(sum(math.log2(math.factorial(n)) for n in widths[1:-1]))


@given(n=st.integers(2, 6))
def test_a_batch_normalization_has_scales_of_its_input_its_variance_and_its_output(n):
    net = nn.Sequential(nn.Linear(3, n), nn.BatchNorm1d(n), nn.ReLU(), nn.Linear(n, 2))
    spec = parse(
        f"in[3] fixed\nx[{n}] positive\nv[{n}] like x positive\ny[{n}] like x positive\nout[2] fixed\n\n"
        "0.weight x in~\n0.bias x\n1.weight y&v\n1.bias y\n1.running_mean x\n1.running_var x^2&v^2@1e-05\n"
        "1.num_batches_tracked\n3.weight out y~\n3.bias out\n"
    )
    assert dimension(spec).scales == 3 * n == scaling_rank(net, torch.zeros(4, 3)).count
    assert dimension(spec).log2_permutations == pytest.approx(math.log2(math.factorial(n)))


@given(spec=specs(), seed=seeds)
def test_an_element_moves_at_most_what_the_dimension_counts(spec, seed):
    """Log-changes of a network under many elements without permutations span as many dimensions."""
    draws = []
    ones = {name: torch.ones(spec.shape(name), dtype=torch.float64) for name in spec.axes}
    for k in range(3 + sum(space.size for space in spec.free)):
        element = sample(spec, seed + k)
        element = type(element)(identity(spec).perm, element.scale)
        moved = act(element, ones, spec)
        draws.append(torch.cat([value.abs().log().flatten() for value in moved.values()]))
    assert dimension(spec).scales == int(torch.linalg.matrix_rank(torch.stack(draws), tol=1e-9))


@pytest.mark.parametrize(
    ("text", "scales", "signs", "permutations"),
    [
        ("h[4] positive\n\nw .3", 0, 0, 1),
        ("h[4] positive\ng[4] like h positive\n\nw h&g~", 4, 0, 24),
        ("h[4] positive\ng[4] like h positive\n\nw h&g~\nv h", 8, 0, 24),
        ("h[3] nonzero\n\nw h^2", 3, 0, 6),
        ("h[3] nonzero\n\nw h^2\nv h^0&h^sign", 3, 3, 6),
        ("a[2]\nq[6] within a nonzero\n\nw q", 6, 6, 2 * 6 * 6),
        ("h[4] ordered positive\n\nw h", 4, 0, 1),
        ("in[4] fixed\nh[4] sign\n\nw h in~", 0, 4, 24),
        ("h[3] positive\ng[2] positive\n\nw h g~", 4, 0, 12),
        ("h[4] positive\ng[2] positive\n\nw h+g~", 6, 0, 48),
        ("h[4]\nq[6] positive\n\nw h^0 .2", 0, 0, 24),
        ("a[2]\nh[6] within a positive\ng[4] within a positive\n\nw g h/a~", 8, 0, 2 * 36 * 4),
    ],
)
def test_what_moves_no_parameter_counts_nothing(text, scales, signs, permutations):
    found = dimension(parse(text))
    assert (found.scales, found.signs) == (scales, signs)
    assert 2**found.log2_permutations == pytest.approx(permutations)


def test_the_table_has_a_line_for_every_free_space_and_one_for_all():
    lines = str(dimension(parse("in[2] fixed\nh[3] positive\n\nw h in~"))).splitlines()
    assert [line.split()[0] for line in lines] == ["space", "h", "in"]
    assert lines[1].split() == ["h", "3", "3", "0", "2.6"]


@given(seed=seeds, m=st.integers(1, 8), n=st.integers(1, 8), prime=st.sampled_from([2, 2**61 - 1]))
def test_pivot_columns_are_the_first_that_are_independent(seed, m, n, prime):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randint(-1, 2, (m, n), generator=generator).double()
    rows = [{j: int(v) for j, v in enumerate(row) if v} for row in matrix.tolist()]
    found = pivot_columns(rows, prime)
    if prime > 2:
        ranks = [0, *(int(torch.linalg.matrix_rank(matrix[:, : j + 1])) for j in range(n))]
        assert found == {j for j in range(n) if ranks[j + 1] > ranks[j]}
    else:
        kept = {tuple(sum(int(matrix[i, j]) * b for i, b in enumerate(mix)) % 2 for j in range(n)) for mix in _bits(m)}
        assert len(kept) == 2 ** len(found)


def _bits(count):
    return [[(number >> k) & 1 for k in range(count)] for number in range(2**count)]


def test_a_single_number_has_no_scale_and_is_drawn_too():
    class Gained(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
            self.gain = nn.Parameter(torch.tensor(0.0))

        def forward(self, x):
            return self.gain * super().forward(x)

    # The last layer as a whole would be another scale if the gain had an axis.
    assert scaling_rank(Gained(), torch.zeros(2, 3)).count == 4


def test_entries_that_reach_no_output_are_named():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    net[0].register_parameter("idle", nn.Parameter(torch.ones(5)))
    found = scaling_rank(net, torch.zeros(2, 3))
    assert (found.count, found.unused) == (4, ("0.idle: 5 of 5",))


def test_a_network_without_a_clear_count_is_refused():
    class Blurred(nn.Module):
        """Scales work up to almost the rounding error, and that differs between its neurons."""

        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(2, 12), nn.Linear(12, 2)

        def forward(self, x):
            x = self.first(x)
            return self.second(x.relu() + torch.logspace(-6, -13, 12, dtype=x.dtype) * x.sin())

    with pytest.raises(SpecMismatch, match="no clear gap"):
        scaling_rank(Blurred(), torch.zeros(8, 2))
