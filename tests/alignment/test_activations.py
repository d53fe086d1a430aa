"""Matching by features: planted elements are found from data, whatever the weights look like."""

import pytest
import torch
from torch import nn

import weightspace as ws
from weightspace.alignment import match_activations


def cnn(activation: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        activation(),
        nn.Conv2d(6, 5, 3),
        activation(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )


def mlp(activation: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 9), activation(), nn.Linear(9, 7), activation(), nn.Linear(7, 2))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.GELU])
@pytest.mark.parametrize("make", [mlp, cnn])
def test_a_planted_element_is_undone_and_the_module_left_as_it_was(make, activation: type[nn.Module]) -> None:
    torch.manual_seed(0)
    net = make(activation).double().train()
    x = torch.randn(64, 4).double() if make is mlp else torch.randn(16, 1, 8, 8).double()
    spec = ws.derive(net, x)
    params = {name: value.clone() for name, value in net.state_dict().items()}
    moved = ws.act(ws.sample(spec, 1), params, spec)
    element = match_activations(params, moved, spec, net, [x[:8], x[8:]])
    back = ws.act(element, moved, spec)
    assert ws.same_function(net, back, x) <= 1e-10
    # The scale that a running variance shares with a gain is not read off features; without one all numbers are back.
    if make is mlp:
        assert all(torch.allclose(back[name], params[name], atol=1e-9) for name in params)
    else:
        assert torch.allclose(
            back["0.weight"].abs().sum((1, 2, 3)).argsort(), params["0.weight"].abs().sum((1, 2, 3)).argsort()
        )
    assert net.training
    assert all(torch.equal(value, params[name]) for name, value in net.state_dict().items())
    assert not any(part._forward_hooks for part in net.modules())


def test_other_data_than_the_networks_see_alike_is_no_proof_of_a_match() -> None:
    """Negative control: two unrelated networks stay apart, and the function of the moved one stays."""
    torch.manual_seed(0)
    net, other = mlp(nn.Tanh).double(), mlp(nn.Tanh).double()
    x = torch.randn(64, 4).double()
    spec = ws.derive(net, x)
    a, b = dict(net.state_dict()), dict(other.state_dict())
    back = ws.act(match_activations(a, b, spec, net, [x]), b, spec)
    assert ws.same_function(other, back, x) <= 1e-12
    assert ws.same_function(net, back, x) > 0.1


def test_a_network_without_features_of_its_own_is_refused() -> None:
    spec = ws.parse("in[2] fixed\nout[2] fixed\n\nweight out in~\nbias out\n")
    net = nn.Linear(2, 2)
    with pytest.raises(ws.SpecError, match=r"Match weights: ws\.align"):
        match_activations(net.state_dict(), net.state_dict(), spec, net, [torch.zeros(3, 2)])


def _order(params: dict[str, torch.Tensor]) -> torch.Tensor:
    return params["3.bias"].abs().argsort()
