"""The test architectures run, and the oracle that counts their scales finds what is known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from architectures import ARCHITECTURES, REFUSED, Architecture
from architectures.dense import mlp
from architectures.oracle import RunningStatistics, random_state, scaling_dimension

EVERY = [pytest.param(entry, id=name) for name, entry in ARCHITECTURES.items()]
WIDTHS = st.lists(st.integers(1, 7), min_size=3, max_size=5)


def outputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        return [value for value in tree_leaves(module(*inputs)) if isinstance(value, Tensor)]


@pytest.mark.parametrize("entry", EVERY)
def test_each_architecture_is_deterministic(entry: Architecture) -> None:
    module, inputs = entry.factory(), entry.example()
    module.load_state_dict(random_state(module, 0))
    first = outputs(module, inputs)
    assert all(value.isfinite().all() and value.std() > 0 for value in first)
    assert [value.shape for value in outputs(entry.factory(), inputs)] == [value.shape for value in first]
    torch.testing.assert_close(outputs(module, inputs), first, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("entry", EVERY)
def test_the_oracle_finds_the_scales_that_the_notes_account_for(entry: Architecture) -> None:
    assert scaling_dimension(entry.factory(), entry.example()).count == entry.scales


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("entry", [pytest.param(entry, id=name) for name, entry in REFUSED.items()])
def test_what_must_be_refused_runs(entry: Architecture) -> None:
    module, inputs = entry.factory(), entry.example()
    torch.testing.assert_close(outputs(module, inputs), outputs(entry.factory(), inputs), rtol=0, atol=0)
    if entry.name == "branch_on_values":
        with pytest.raises(Exception, match="data-dependent"):
            torch.export.export(module, inputs)
    else:
        torch.export.export(module, inputs)


@given(widths=WIDTHS)
def test_a_relu_network_has_one_scale_per_hidden_neuron(widths: list[int]) -> None:
    example = torch.zeros(4, widths[0])
    assert scaling_dimension(mlp(nn.ReLU, *widths), (example,)).count == sum(widths[1:-1])
    assert scaling_dimension(mlp(nn.Tanh, *widths), (example,)).count == 0
    assert scaling_dimension(mlp(nn.Identity, *widths), (example,)).count == sum(widths[1:-1])


def test_at_one_point_a_linear_network_has_more_scales_than_act_everywhere() -> None:
    net, example = mlp(nn.Identity, 4, 7, 6, 3), (torch.zeros(2, 4),)
    # The network is a matrix of rank 3 and a shift, 15 numbers; all 46 candidates that move a parameter move these.
    assert scaling_dimension(net, example, one_point=True).count == 31
    assert scaling_dimension(net, example).count == 7 + 6


@given(affine=st.booleans(), n=st.integers(2, 6))
def test_a_batch_norm_has_a_scale_of_its_input_its_variance_and_its_gain(affine: bool, n: int) -> None:
    net = nn.Sequential(nn.Linear(3, n), nn.BatchNorm1d(n, affine=affine), nn.ReLU(), nn.Linear(n, 2))
    assert scaling_dimension(net, (torch.zeros(2, 3),)).count == (3 if affine else 2) * n


@pytest.mark.parametrize("name", ["vgg_bn", "instancenorm_running", "batchnorm_mlp_plain"])
def test_norms_are_written_out_as_torch_computes_them(name: str) -> None:
    module, inputs = ARCHITECTURES[name].factory(), ARCHITECTURES[name].example()
    module.load_state_dict(random_state(module, 0))
    with RunningStatistics():
        written = outputs(module, inputs)
    torch.testing.assert_close(written, outputs(module, inputs), rtol=1e-12, atol=1e-12)


def test_parameters_that_reach_no_output_do_not_count() -> None:
    net = mlp(nn.ReLU, 4, 7, 3)
    net[0].register_parameter("idle", nn.Parameter(torch.ones(5, 4)))
    found = scaling_dimension(net, (torch.zeros(2, 4),))
    assert (found.count, found.unused) == (7, ("0.idle: 20 of 20",))


@pytest.mark.parametrize("entry", EVERY)
def test_random_states_are_not_special_and_keep_ties(entry: Architecture) -> None:
    module = entry.factory()
    state = random_state(module, 3)
    module.load_state_dict(state)
    learned = dict(module.named_parameters(remove_duplicate=False))
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)
        if name in learned:
            assert value.abs().min() > 1e-3
            assert (value - 1).abs().min() > 0
