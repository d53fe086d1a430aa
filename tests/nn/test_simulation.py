"""A bidirectional metanetwork runs the network it reads, forward and backward; what cannot, does not.

The construction is the example's; torch's autograd on the networks themselves is the oracle. Networks come in random
gauges: a gradient must shrink where the state of its vertex grows.
"""

import runpy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import weightspace as ws
from weightspace.testing import random_params

ACTIVATIONS = {"sign": nn.Tanh, "positive": nn.ReLU}
every_group = pytest.mark.parametrize("group", ACTIVATIONS)
hidden_layers = st.lists(st.integers(2, 5), min_size=1, max_size=3)
layouts = st.builds(lambda i, hidden, o: (i, *hidden, o), st.integers(1, 3), hidden_layers, st.integers(1, 3))
LAYOUT = (2, 5, 4, 3)


@pytest.fixture(scope="module")
def example() -> SimpleNamespace:
    path = Path(__file__).parents[2] / "examples" / "05_simulate_a_network.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


def empty(layout: tuple[int, ...], group: str) -> nn.Sequential:
    parts = [part for i, o in pairwise(layout) for part in (nn.Linear(i, o), ACTIVATIONS[group]())]
    return nn.Sequential(*parts[:-1]).double()


def networks(layout: tuple[int, ...], group: str, seed: int = 0, num: int = 3) -> list[nn.Sequential]:
    """Random networks in random gauges; pre-activations are about 1 in size before positive scales act."""
    nets = [empty(layout, group) for _ in range(num)]
    spec = ws.derive(nets[0], torch.zeros(1, layout[0], dtype=torch.float64))
    params = ws.act(ws.sample(spec, seed, num=num), random_params(spec, num, seed=seed, dtype=torch.float64), spec)
    for row, net in enumerate(nets):
        net.load_state_dict({name: value[row] for name, value in params.items()})
    return nets


def read(example: SimpleNamespace, nets: list[nn.Sequential], seed: int = 0) -> tuple[ws.SymmetrySpec, dict, dict]:
    """The spec of the networks, a stack of all of them with all of four probes, and what torch computes in them."""
    generator = torch.Generator().manual_seed(seed)
    probes = 2 * torch.rand(4, nets[0][0].in_features, dtype=torch.float64, generator=generator) - 1
    spec = ws.parse(ws.to_text(ws.derive(nets[0], probes)) + "probe in\n")
    return (
        spec,
        join([example.pairs(net, probes) for net in nets]),
        join([example.by_torch(net, probes) for net in nets]),
    )


def join(parts: list[dict]) -> dict:
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def errors(have: dict, want: dict[tuple[str, str], Tensor]) -> dict[tuple[str, str], float]:
    return {key: float(((have[key] - w).abs() / w.abs().clamp_min(1)).max()) for key, w in want.items()}


@every_group
@settings(max_examples=5)
@given(layout=layouts, seed=st.integers(0, 2**31))
def test_vertices_hold_the_forward_and_the_backward_pass(example, group, layout, seed):
    spec, params, want = read(example, networks(layout, group, seed), seed)
    hidden = [value.abs().max() for (quantity, space), value in want.items() if quantity == "z" and space != "out"]
    assume(group == "positive" or max(hidden) < example.RANGE)
    have = example.by_vertices(example.simulator(spec, example.program(len(layout) - 1)), params)
    spaces = [space.name for space in spec.spaces]
    assert want.keys() == {
        *(("gradient", space) for space in spaces),
        *(("z", space) for space in spaces[1:]),
        *(("h", space) for space in spaces[1:-1]),
    }
    assert max(errors(have, want).values()) < 1e-6


@every_group
def test_states_move_with_the_network(example, group):
    spec, params, _ = read(example, networks(LAYOUT, group))
    model = example.simulator(spec, example.program(3))
    element = ws.sample(spec, num=len(params["probe"]), max_scale=64.0)
    with torch.no_grad():
        here, there = model.states(params), model.states(ws.act(element, params, spec))
    dense = element.to_dense()
    for space, state in here.items():
        want = dense[space] @ state if space in dense else state
        # Channel by channel, since all but one are stored very small.
        assert ((there[space] - want).abs().amax((0, 1)) <= 1e-9 * want.abs().amax((0, 1))).all()
    assert all((here[space] - there[space]).abs().max() > 0.1 for space in dense)


@every_group
@pytest.mark.parametrize("missing", [1, 2, 3])
def test_every_backward_round_less_leaves_one_more_layer_without_gradients(example, group, missing):
    spec, params, want = read(example, networks(LAYOUT, group))
    model = example.simulator(spec, example.program(3)[:-missing])
    wrong = {key for key, error in errors(example.by_vertices(model, params), want).items() if error > 1e-6}
    assert wrong == {("gradient", space) for space in ["in", "h0", "h1"][:missing]}


@every_group
def test_forward_models_are_blind_to_what_gradients_depend_on(example, group):
    net, other = (networks(LAYOUT, group)[0] for _ in range(2))
    with torch.no_grad():
        other[-1].weight.mul_(2)
    spec, params, want = read(example, [net])
    _, changed, want_changed = read(example, [other])
    for direction in ("forward", "bidirectional"):
        torch.manual_seed(0)
        preset = replace(ws.nn.PRESETS["cifar_inr -B"], group=group, direction=direction, readout="full_graph")
        model = ws.nn.paper(preset, layout=spec, width=8).double().eval()
        with torch.no_grad():
            here, there = model.states(params), model.states(changed)
        for space in ("h0", "h1"):
            assert (want["gradient", space] - want_changed["gradient", space]).abs().max() > 0.1
            change = (here[space] - there[space]).abs().max() / here[space].abs().max()
            assert change == 0 if direction == "forward" else change > 1e-6


@pytest.mark.parametrize(
    ("gate", "function"),
    [("ACTIVATE", lambda t: t.tanh() / t), ("DIFFERENTIATE", lambda t: 1 - t.tanh() ** 2)],
)
def test_gates_of_tanh_are_right_in_their_range_only(example, gate, function):
    def error(t: Tensor) -> Tensor:
        return (example.hidden(t) @ getattr(example, gate)["sign"] - function(t)).abs()

    assert error(torch.linspace(1e-9, example.RANGE, 54321, dtype=torch.float64)).max() < 1e-11
    assert error(torch.linspace(1.2, 3, 100, dtype=torch.float64) * example.RANGE).min() > 1e-6
