"""``derive`` proves what it returns, and layers of one's own are read by a rule."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import weightspace as ws
from weightspace import spec as spec_layer
from weightspace.files.elements import load_element, save_element
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


MADE = ("read off the graph with verify=False", "read off the graph", "")


def test_a_spec_says_whether_it_was_tried_and_equals_the_one_that_was() -> None:
    net, x = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)), torch.randn(4, 3)
    specs = [ws.derive(net, x, verify=False), spec_layer.derive(net, x), ws.derive(net, x)]
    assert tuple(spec.unproven for spec in specs) == MADE
    assert len(set(specs)) == 1  # one symmetry, one hash
    for spec in specs:
        again = parse(ws.to_text(spec))
        assert (again, again.unproven, ws.to_text(again)) == (spec, spec.unproven, ws.to_text(spec))
        said = f"# not proven: {spec.unproven}\n" if spec.unproven else ""
        assert ws.to_text(spec) == said + ws.to_text(specs[-1])
        assert ("not proven" in str(spec)) == ("not proven" in repr(spec)) == bool(spec.unproven)
    assert ws.derive(nn.Linear(3, 2), x, verify=False).unproven == ""  # nothing acts, so there is nothing to prove


def test_elements_carry_that_their_spec_was_never_tried(tmp_path: Path) -> None:
    net, x = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)), torch.randn(4, 3)
    spec = ws.derive(net, x, verify=False)
    save_element(tmp_path / "g.safetensors", ws.sample(spec, seed=0), spec)
    assert load_element(tmp_path / "g.safetensors")[1].unproven == spec.unproven


class Buffers(nn.Module):
    """Tables, masks and positions that are no parameters, some of them not in the state."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.first, self.last = nn.Embedding(4, 5), nn.Linear(5, 6), nn.Linear(6, 2)
        self.register_buffer("places", torch.arange(3), persistent=False)
        self.register_buffer("mask", torch.ones(3, 3, dtype=torch.bool).tril())
        self.register_buffer("gains", torch.rand(3, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x + self.table(self.places)) * self.gains)
        return self.last(torch.where(self.mask, 1.0, 0.0).to(h.dtype) @ h)


def test_on_meta_random_stand_ins_are_tried() -> None:
    net, x = Buffers(), torch.randn(2, 3, 5)
    spec = ws.derive(net.to("meta"), x)
    assert spec.unproven == ""
    assert ws.derive(net, x.to("meta")) == spec == ws.derive(Buffers(), x.to("meta"))
    assert all(value.is_meta for value in (*net.parameters(), *net.buffers()))
    wrong = nn.Sequential(nn.Linear(3, 5), Places(), nn.Linear(5, 2)).to("meta")
    with pytest.raises(ws.SpecError, match="changes its outputs"):
        ws.derive(wrong, torch.randn(4, 3), rules={Places: "h"})


class Captured(nn.Linear):
    """Multiplies by a tensor that is neither parameter nor buffer."""

    def __init__(self) -> None:
        super().__init__(3, 5)
        self.gain = torch.ones(5, device="meta")

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.gain


def test_what_cannot_be_tried_on_meta_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(Captured(), nn.ReLU(), nn.Linear(5, 2)).to("meta")
    spec = ws.derive(net, torch.randn(4, 3))
    assert spec.unproven.startswith("read on meta, and forward fails on random stand-ins with ")
    monkeypatch.setattr("weightspace.gauge._derive.LIMIT", 31)
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)).to("meta")
    assert ws.derive(net, torch.randn(4, 3)).unproven == "read on meta, and 32 numbers are more than the 3e+01 tried"


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
