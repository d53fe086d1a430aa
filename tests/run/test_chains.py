"""A network of linear layers is made from the shapes in its file: it computes what the network that was saved did."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import weightspace as ws
from weightspace.run.verbs.chains import chains_in

SIZES = st.lists(st.integers(1, 5), min_size=2, max_size=4)


def sequence(widths: list[int], *, bias: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b, bias), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


@given(SIZES, st.booleans(), st.sampled_from(["", "net.", "seq."]))
@settings(max_examples=12)
def test_a_chain_computes_what_was_saved(tmp_path_factory, widths, bias, prefix) -> None:
    net, path = sequence(widths, bias=bias), tmp_path_factory.mktemp("chain") / "net.pt"
    torch.save({prefix + name: value for name, value in net.state_dict().items()}, path)
    made, example = chains_in(path, "tanh")
    assert example.shape[1] == widths[0]
    made.load_state_dict(dict(zip(made.state_dict(), net.state_dict().values(), strict=True)))
    x = torch.randn(3, widths[0])
    assert torch.equal(made(x), net(x))


class Agent(nn.Module):
    """A policy and a value with heads of their own names, as an actor-critic has them."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp_extractor = nn.Module()
        self.mlp_extractor.policy_net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh())
        self.mlp_extractor.value_net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh())
        self.action_net, self.value_net = nn.Linear(5, 2), nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        extractor = self.mlp_extractor
        assert isinstance(extractor.policy_net, nn.Module)
        assert isinstance(extractor.value_net, nn.Module)
        return torch.cat([self.action_net(extractor.policy_net(x)), self.value_net(extractor.value_net(x))], -1)


def test_the_chains_of_an_agent_find_their_heads(tmp_path: Path) -> None:
    agent = Agent()
    torch.save(agent.state_dict(), tmp_path / "agent.pt")
    made, example = chains_in(tmp_path / "agent.pt", "tanh")
    made.load_state_dict(agent.state_dict())
    x = torch.randn(4, 3)
    assert torch.equal(made(x), agent(x))
    assert ws.derive(made, example) == ws.derive(agent, example)


BAD = {
    "a convolution": ({"0.weight": torch.ones(2, 1, 3, 3)}, r"'0.weight' is \[2, 1, 3, 3\]"),
    "a gain": ({"0.weight": torch.ones(2, 3), "1.weight": torch.ones(2)}, r"'1.weight' is \[2\]"),
    "a scale of its own": ({"0.weight": torch.ones(2, 3), "log_std": torch.ones(2)}, r"'log_std' is \[2\]"),
    "two heads alike": (
        {"a.0.weight": torch.ones(4, 3), "a.1.weight": torch.ones(4, 4), "x.weight": torch.ones(1, 4),
         "b.0.weight": torch.ones(4, 3), "b.1.weight": torch.ones(4, 4), "y.weight": torch.ones(1, 4)},
        "do not say what 'x'",
    ),
    "no chain": ({"0.weight": torch.ones(4, 3), "1.weight": torch.ones(4, 3)}, "do not say what '0'"),
    "other inputs": (
        {"a.0.weight": torch.ones(4, 3), "a.1.weight": torch.ones(4, 4), "b.0.weight": torch.ones(4, 2),
         "b.1.weight": torch.ones(4, 4)},
        "inputs of different sizes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_chain_is_refused(name: str, tmp_path: Path) -> None:
    params, message = BAD[name]
    torch.save(params, tmp_path / "net.pt")
    with pytest.raises(ws.SpecMismatch, match=message) as error:
        chains_in(tmp_path / "net.pt", "tanh")
    assert "--model PACKAGE.MODULE:FACTORY" in str(error.value)
