"""Gains settle signs: however networks are matched, no gain of a normalization is set against another one."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

import weightspace as ws
from tests.architectures import ARCHITECTURES
from tests.architectures.oracle import random_state
from weightspace.alignment import align, match_activations, merge
from weightspace.alignment._gains import gains, opposed, set_upright

from .trained_pairs import Params, Residual


class Scaled(nn.Module):
    """A root mean square normalization, tanh, and a factor on the output of the branch."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.norm, self.up = nn.Linear(4, 6), nn.RMSNorm(6), nn.Linear(6, 9)
        self.down, self.factor, self.leave = nn.Linear(9, 6), nn.Parameter(torch.ones(6)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return self.leave(x + self.factor * self.down(torch.tanh(self.up(self.norm(x)))))


def after_tanh() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


GAINS = {
    "vit": {
        "blocks.0.norm.weight",
        "blocks.1.norm.weight",
        "blocks.2.norm.weight",
        "blocks.3.norm.weight",
        "norm.weight",
    },
    "residual": {"norm0.weight", "norm1.weight", "norm2.weight"},
    "scaled": {"norm.weight", "factor"},
    "after_tanh": {"2.weight"},
}
"""By network its gains."""


@cache
def network(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    if name == "scaled":
        return Scaled().double().eval(), torch.randn(64, 4, dtype=torch.float64)
    if name == "after_tanh":
        return after_tanh().double().eval(), torch.randn(64, 4, dtype=torch.float64)
    if name == "residual":
        return Residual().double().eval(), torch.randn(16, 2, 6, 6, dtype=torch.float64)
    entry = ARCHITECTURES[name]
    return entry.factory().eval(), entry.example()[0]


def drawn(net: nn.Module, seed: int, names: set[str]) -> Params:
    """Random weights whose gains are around 1."""
    params = random_state(net, seed)
    noise = torch.Generator().manual_seed(seed)
    return params | {n: (1 + 0.2 * torch.randn(params[n].shape, generator=noise)).abs().to(params[n]) for n in names}


@cache
def unrelated(name: str) -> tuple[nn.Module, Tensor, ws.SymmetrySpec, Params, Params, set[str]]:
    net, x = network(name)
    spec = ws.derive(net, x)
    names = set(gains(spec).values())
    return net, x, spec, drawn(net, 1, names), drawn(net, 2, names), names


@pytest.mark.parametrize("name", GAINS)
def test_the_gains_of_a_network_are_those_of_its_normalizations_and_factors(name):
    net, x = network(name)
    assert set(gains(ws.derive(net, x)).values()) == GAINS[name]


def test_biases_and_running_means_are_no_gains():
    for net in (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), nn.Sequential(nn.Linear(3, 4), nn.ReLU())):
        assert not gains(ws.derive(net, torch.zeros(2, 3)))
    bare = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Flatten(), nn.Linear(16, 2)).eval()
    assert not gains(ws.derive(bare, torch.zeros(2, 1, 4, 4)))


@pytest.mark.parametrize("name", GAINS)
@pytest.mark.parametrize("way", ["weights", "features", "merge", "merge by features"])
def test_no_gain_changes_its_sign_between_unrelated_networks(name, way):
    net, x, spec, a, b, names = unrelated(name)
    if way == "weights":
        moved = align(a, b, spec).params
    elif way == "features":
        moved = ws.act(match_activations(a, b, spec, net, [x]), b, spec)
    else:
        inputs = [x] if way == "merge by features" else None
        moved = merge([a, b], spec, module=net, example=x, inputs=inputs).moved([a, b], spec)[1]
    assert all(bool((moved[n] > 0).all()) for n in names)
    assert any(not torch.equal(moved[n], b[n]) for n in b)


@pytest.mark.parametrize("way", ["weights", "features"])
def test_negative_gains_are_matched_to_the_signs_of_the_first_network(way):
    net, x, spec, a, b, names = unrelated("vit")
    turned = ws.act(ws.sample(spec, 5, max_scale=1.0), a, spec)
    found = align(turned, b, spec).element if way == "weights" else match_activations(turned, b, spec, net, [x])
    moved = ws.act(found, b, spec)
    assert any(bool((turned[n] < 0).any()) for n in names)
    assert all(torch.equal(moved[n].sign(), turned[n].sign()) for n in names)


def test_stacked_pairs_are_matched_one_by_one():
    net, _, spec, a, b, _ = unrelated("residual")
    planted = ws.act(ws.sample(spec, 7), a, spec)
    found = align(ws.gauge.stack([a, a]), ws.gauge.stack([b, planted]), spec, module=net)
    alone = [align(a, other, spec) for other in (b, planted)]
    assert [float(far) for far in found.distance] == pytest.approx([float(one.distance) for one in alone], abs=1e-9)
    assert not bool(opposed(ws.gauge.stack([a, a]), found.params, spec).any())


def test_noise_that_turns_gains_near_zero_does_not_part_copies():
    net, _, spec, a, _, names = unrelated("residual")
    near = {n: value.clone() for n, value in a.items()}
    for n in names:
        a[n][:1], near[n][:1] = 1e-3, -1e-3
    found = align(a, ws.act(ws.sample(spec, 3), near, spec), spec, module=net)
    assert float(found.distance) < 0.01


@pytest.mark.parametrize("name", GAINS)
def test_upright_networks_compute_the_same_and_have_no_negative_gain(name):
    net, x, spec, a, _, names = unrelated(name)
    turned = ws.act(ws.sample(spec, 4, max_scale=1.0), a, spec)
    upright, element = set_upright(turned, spec)
    net.load_state_dict(a)
    assert ws.same_function(net, upright, x) < 1e-9
    assert all(bool((upright[n] >= 0).all()) for n in names)
    assert all(torch.equal(upright[n], ws.act(element, turned, spec)[n]) for n in names)
