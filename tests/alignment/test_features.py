"""Features and derivatives: every place where neurons are seen counts, and gauges do not."""

import pytest
import torch
from torch import Tensor, nn

import weightspace as ws
from weightspace.alignment import match_activations

from .trained_pairs import CASES, Residual, case, unrelated


def found_and_planted(module: nn.Module, x: Tensor, params: dict[str, Tensor], *, traced: nn.Module | None = None):
    """The element found for a planted copy, after the planted one: the identity if all is found."""
    spec = ws.derive(module if traced is None else traced, x)
    planted = ws.sample(spec, 1, max_scale=3.0)
    element = match_activations(params, ws.act(planted, params, spec), spec, module, [x, -x])
    return ws.compose(element, planted)


def all_in_place(element) -> bool:
    return all(torch.equal(perm, torch.arange(len(perm))) for perm in element.perm.values())


def test_a_residual_stream_and_the_channels_inside_a_block_are_put_in_order():
    torch.manual_seed(0)
    net = Residual().double()
    for name, value in net.state_dict().items():
        if name.startswith("norm") and value.is_floating_point():
            value.add_(torch.rand_like(value))  # trained: no two channels alike, no feature constant
    x = torch.randn(16, 2, 6, 6).double()
    assert all_in_place(found_and_planted(net, x, dict(net.state_dict())))


def test_neurons_that_see_the_same_are_told_apart_by_what_follows_from_them():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    params = {name: value.clone() for name, value in net.state_dict().items()}
    for name in ("0.weight", "0.bias"):
        params[name][3:] = params[name][:3]
    x = torch.randn(64, 4).double()
    assert all_in_place(found_and_planted(net, x, params))
    # The control: with equal fan-out as well nothing tells them apart, and order is a matter of chance.
    params["2.weight"][:, 3:] = params["2.weight"][:, :3]
    assert not all_in_place(found_and_planted(net, x, params))


def test_neurons_that_own_several_places_of_a_flattened_map_are_seen_where_they_are_read():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(20, 3)).double()
    assert all_in_place(found_and_planted(net, torch.randn(16, 1, 4, 4).double(), dict(net.state_dict())))


@pytest.mark.parametrize("name", CASES)
def test_the_element_does_not_depend_on_gauges_or_on_the_state_of_torch(name):
    module, x = case(name)
    spec = ws.derive(module, x)
    a, b = unrelated(spec, 2)
    planted = ws.sample(spec, 3, max_scale=3.0)
    first = match_activations(a, b, spec, module, [x, -x])
    state = torch.get_rng_state()
    with torch.no_grad():
        again = ws.compose(match_activations(a, ws.act(planted, b, spec), spec, module, [x, -x]), planted)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(perm, again.perm[space]) for space, perm in first.perm.items())
    assert not all_in_place(first)
    # A scale that only a running variance and a gain share is not read off features.
    seen = [space for space in first.scale if spec.space[space].like is None]
    assert all(torch.allclose(first.scale[space], again.scale[space], rtol=1e-8) for space in seen)


def test_outputs_without_a_derivative_leave_the_features():
    class Silent(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input).detach()

    torch.manual_seed(0)
    layers = [nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)]
    net = Silent(*layers).double()
    x = torch.randn(64, 4).double()
    traced = nn.Sequential(*layers)
    assert all_in_place(found_and_planted(net, x, dict(net.state_dict()), traced=traced))


def test_neurons_that_are_constant_on_the_data_keep_their_scale_and_choose_nothing():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    x = torch.randn(300, 4).double()
    spec = ws.derive(net, x)
    a = {name: value.clone() for name, value in net.state_dict().items()}
    # Exactly constant, yet sums of squares leave rounding: neither a correlation nor a deviation.
    for layer, constant in (("0", 3), ("2", 2)):
        a[f"{layer}.weight"][:constant] = 0
        a[f"{layer}.bias"][:constant] = torch.tensor([0.7, -1.3, 0.3])[:constant].double()
    planted = ws.sample(spec, 1, max_scale=3.0)
    element = match_activations(a, ws.act(planted, a, spec), spec, net, [x[:100], x[100:]])
    left = ws.compose(element, planted)
    moving = {space: len(perm) - (3 if len(perm) == 9 else 2) for space, perm in left.perm.items()}
    for space, perm in left.perm.items():
        assert torch.equal(perm[-moving[space] :], torch.arange(len(perm))[-moving[space] :])
        assert bool((element.scale[space].abs().log10().abs() < 1).all())


class Two(nn.Module):
    """Two arguments, and one weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.tied, self.out = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)
        self.tied.weight = self.first.weight

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.out(torch.tanh(self.first(x) + self.tied(y)))


def test_networks_of_several_arguments_and_with_tied_weights_have_features():
    torch.manual_seed(0)
    net, batch = Two().double(), (torch.randn(50, 4).double(), torch.randn(50, 4).double())
    params = {name: value.clone() for name, value in net.state_dict().items()}
    spec = ws.derive(net, batch)
    planted = ws.sample(spec, 1)
    element = match_activations(params, ws.act(planted, params, spec), spec, net, [batch])
    assert all_in_place(ws.compose(element, planted))
