"""Sine phases are folded into half a turn: the same function, one network for all half turns."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specs import seeds
from torch import Tensor, nn

from weightspace import ConfigError, SpecError
from weightspace.gauge import phase, same_function
from weightspace.spec import parse

SPEC = parse(
    "in[2] fixed\nh0[6] sign\nh1[5] sign\nout[3] fixed\n\n0.weight h0 in~\n0.bias h0\n1.weight h1 h0~\n1.bias h1\n"
    "2.weight out h1~\n2.bias out\n"
)


class Siren(nn.Sequential):
    def __init__(self, omega0: float) -> None:
        super().__init__(nn.Linear(2, 6), nn.Linear(6, 5), nn.Linear(5, 3))
        self.omega0 = omega0

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self[0], self[1]):
            x = torch.sin(self.omega0 * layer(x))
        return self[2](x)


def network(seed: int, omega0: float) -> Siren:
    torch.manual_seed(seed)
    return Siren(omega0).double()


frequencies = st.sampled_from([1.0, 7.3, 30.0])


@given(seed=seeds, omega0=frequencies)
def test_the_function_stays_and_phases_are_within_half_a_turn(seed, omega0):
    net = network(seed, omega0)
    params, turns = phase(net.state_dict(), SPEC, omega0)
    assert same_function(net, params) < 1e-10
    for layer in (0, 1):
        assert (omega0 * params[f"{layer}.bias"]).abs().max() <= math.pi / 2 + 1e-9
    assert list(turns) == ["h0", "h1"]
    assert torch.equal(params["2.weight"], net[2].weight)


@given(seed=seeds, omega0=frequencies)
def test_half_turns_do_not_change_it_and_twice_is_once(seed, omega0):
    net = network(seed, omega0)
    params, _ = phase(net.state_dict(), SPEC, omega0)
    k = torch.randint(-4, 5, (6,)).double()
    sign = 1.0 - 2.0 * (k % 2)
    turned = dict(net.state_dict())
    turned["0.weight"] = sign[:, None] * turned["0.weight"]
    turned["0.bias"] = sign * turned["0.bias"] + k * math.pi / omega0
    assert same_function(net, turned) < 1e-9
    other, _ = phase(turned, SPEC, omega0)
    again, turns = phase(params, SPEC, omega0)
    for name in params:
        torch.testing.assert_close(other[name], params[name], rtol=1e-9, atol=1e-12)
        assert torch.equal(again[name], params[name])
    assert all((turn == 0).all() for turn in turns.values())


def test_stacked_networks_are_folded_one_by_one():
    nets = [network(seed, 30.0).state_dict() for seed in (0, 1)]
    stacked, turns = phase({name: torch.stack([net[name] for net in nets]) for name in nets[0]}, SPEC)
    for place, net in enumerate(nets):
        alone, own = phase(net, SPEC)
        assert all(torch.equal(stacked[name][place], alone[name]) for name in alone)
        assert torch.equal(turns["h1"][place], own["h1"])


def test_control_the_wrong_frequency_changes_the_function():
    net = network(0, 30.0)
    params, _ = phase(net.state_dict(), SPEC, 40.0)
    assert same_function(net, params) > 1e-3


def test_bad_input_is_refused_in_words():
    params = network(0, 30.0).state_dict()
    with pytest.raises(ConfigError, match=r"omega0=30\.0"):
        phase(params, SPEC, 0.0)
    relu = parse("in[2] fixed\nh0[6] positive\nout[3] fixed\n\na h0 in~\nb out h0~\n")
    with pytest.raises(SpecError, match="none is made of sines"):
        phase({"a": torch.ones(6, 2), "b": torch.ones(3, 6)}, relu)
    two = parse("in[2] fixed\nh0[6] sign\nout[3] fixed\n\na h0 in~\nb h0\nc h0\nd out h0~\n")
    with pytest.raises(SpecError, match="has the biases b, c"):
        phase({"a": torch.ones(6, 2), "b": torch.ones(6), "c": torch.ones(6), "d": torch.ones(3, 6)}, two)
