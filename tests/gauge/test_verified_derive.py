"""``derive`` proves what it returns, and layers of one's own are read by a rule."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import weightspace as ws
from weightspace import spec as spec_layer
from weightspace.spec import parse, scale_group


class Ternary(nn.Module):
    """A linear layer whose weight is read through a sort, which cannot be followed."""

    def __init__(self, d: int, m: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(m, d)), nn.Parameter(torch.randn(m))

    def forward(self, x: Tensor) -> Tensor:
        order = self.weight.flatten().argsort().argsort()
        same = self.weight.flatten().sort().values[order].view_as(self.weight)
        return F.linear(x, same, self.bias)


class Places(nn.Module):
    """Works on each neuron by its place, whatever the rule says."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.arange(1.0, x.shape[-1] + 1, dtype=x.dtype)


def test_a_layer_of_ones_own_is_read_by_a_rule_and_left_as_it_was() -> None:
    net = nn.Sequential(Ternary(3, 5), nn.ReLU(), Ternary(5, 2))
    x = torch.randn(4, 3)
    before = net(x)
    with pytest.raises(ws.SpecError, match=r"'0' \(Ternary\): it calls argsort"):
        ws.derive(net, x)
    spec = ws.derive(net, x, rules={Ternary: "out in~"})
    assert str(spec) == "in[3] | h0[5] S5 x positive | out[2]"
    assert spec.axes["0.weight"] == parse("in[3] fixed\nh0[5] positive\n\nw h0 in~").axes["w"]
    torch.testing.assert_close(net(x), before)


def test_a_rule_that_is_wrong_is_noticed_on_the_network() -> None:
    net = nn.Sequential(nn.Linear(3, 5), Places(), nn.Linear(5, 2))
    assert ws.derive(net, torch.randn(4, 3)).free[0].ordered
    with pytest.raises(ws.SpecError, match=r"the symmetry read off Sequential changes its outputs by .*Please report"):
        ws.derive(net, torch.randn(4, 3), rules={Places: "h"})
    wrong = ws.derive(net, torch.randn(4, 3), rules={Places: "h"}, verify=False)
    assert wrong == spec_layer.derive(net, torch.randn(4, 3), rules={Places: "h"})


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({nn.Linear: "in out"}, r"the rule 'in out' for '0' \(Linear\) cannot be read; there are two rules"),
        ({nn.Conv2d: "out in~"}, r"the rule 'out in~' for '1' \(Conv2d\) needs one weight \[out, in\]"),
        ({nn.Linear: "h"}, r"the rule 'h' for '0' \(Linear\) needs parameters \[h\], got shapes \[\[5, 3\], \[5\]\]"),
    ],
)
def test_rules_that_cannot_be_used_are_refused(rules: dict[type[nn.Module], str], message: str) -> None:
    with pytest.raises(ws.SpecError, match=message):
        ws.derive(nn.Sequential(nn.Linear(3, 5), nn.Conv2d(5, 2, 1)), torch.randn(4, 3), rules=rules)


def test_zero_and_equal_parameters_do_not_hide_an_error() -> None:
    net = nn.Sequential(nn.Linear(3, 4), Places(), nn.Linear(4, 2))
    nn.init.zeros_(net[2].weight)
    with pytest.raises(ws.SpecError, match="changes its outputs"):
        ws.derive(net, torch.randn(4, 3), rules={Places: "h"})


@pytest.mark.parametrize(
    ("function", "group"),
    [
        (torch.relu, "positive"),
        (lambda z: F.leaky_relu(z, 0.2), "positive"),
        (torch.tanh, "sign"),
        (lambda z: z * z * z, "sign"),
        (F.gelu, "trivial"),
        (lambda z: 3 * z, "nonzero"),
        (torch.cos, "trivial"),
        (lambda z: z.clamp(-5, 5), "sign"),
    ],
)
def test_activations_are_classified_by_trying_them(function: object, group: str) -> None:
    assert scale_group(function) == group  # type: ignore[arg-type]


def test_what_is_no_activation_is_refused() -> None:
    with pytest.raises(ws.SpecError, match="no activation"):
        scale_group(lambda z: z.sum())
