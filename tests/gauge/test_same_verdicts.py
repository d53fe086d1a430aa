"""Without an element, outputs decide: one function or two, judged by rounding, and never more than was tried."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from specs import Case, networks, seeds
from torch import Tensor, nn
from torch.func import functional_call

import weightspace as ws
from weightspace.gauge import Verdict

Params = dict[str, Tensor]


class LowRank(nn.Module):
    """A layer with a product of two factors beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.a, self.b = nn.Linear(9, 6), nn.Linear(9, 3, bias=False), nn.Linear(3, 6, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.b(self.a(x))


class Head(nn.Module):
    """One attention head."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(9, 9, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return (self.q(x) @ self.k(x).mT / 3).softmax(-1) @ self.v(x)


class Sines(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(9, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.sin(5 * self.a(x)))


def relu() -> nn.Module:
    return nn.Sequential(nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 7), nn.ReLU(), nn.Linear(7, 3))


def other_factors(params: Params) -> None:
    change = torch.randn(3, 3).double() + 3 * torch.eye(3).double()
    params["a.weight"] = change @ params["a.weight"]
    params["b.weight"] = params["b.weight"] @ torch.linalg.inv(change)


def rotated(params: Params) -> None:
    turn, _ = torch.linalg.qr(torch.randn(9, 9).double())
    params["q.weight"], params["k.weight"] = turn @ params["q.weight"], turn @ params["k.weight"]


def shifted(params: Params) -> None:
    params["a.bias"][3] += math.pi / 5
    params["b.weight"][:, 3] *= -1


def other_fan_in(params: Params) -> None:
    params["0.weight"][2] = torch.randn(9)


GROUP = "so a group that the spec lacks relates the two"
RELATED = {
    "factors": (LowRank, other_factors, f"differ in a.weight, b.weight, which neuron has which weights, {GROUP}"),
    "rotation": (Head, rotated, f"differ in q.weight, k.weight, which neuron has which weights, {GROUP}"),
    "phases": (Sines, shifted, f"differ in a.bias, which neuron has which weights, {GROUP}"),
    "dead neurons": (relu, other_fan_in, "they agree but for weights of dead neurons (h0: 1)"),
}


def related(name: str, dtype: torch.dtype) -> tuple[nn.Module, Params, Params, ws.SymmetrySpec, Tensor]:
    """A module, two networks of it that compute the same and are stored in ``dtype``, their spec and an input."""
    make, change, _ = RELATED[name]
    torch.manual_seed(0)
    net, example = make().double(), torch.randn(4, 5, 9).double()
    a = {key: value.clone() for key, value in net.state_dict().items()}
    if name == "dead neurons":
        a["2.weight"][:, 2] = 0
    b = {key: value.clone() for key, value in a.items()}
    change(b)
    spec = ws.derive(net, example)
    a, b = ({key: value.to(dtype) for key, value in params.items()} for params in (a, b))
    return net.float(), a, b, spec, example.float()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", RELATED)
def test_one_function_without_an_element_is_said_with_the_reason(name: str, dtype: torch.dtype) -> None:
    net, a, b, spec, example = related(name, dtype)
    before = copy.deepcopy(net.state_dict())
    found = ws.same(a, b, spec, module=net, example=example)
    assert found.verdict is Verdict.FUNCTION, str(found)
    assert not found
    assert RELATED[name][2] in str(found)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    alone = ws.same(a, b, spec)
    assert (alone.verdict, bool(alone)) == (Verdict.OPEN, False)
    assert "whether they compute the same was not tried" in str(alone)


@pytest.mark.parametrize("name", RELATED)
def test_one_weight_off_by_a_hundredth_is_different_and_the_inputs_named_show_it(name: str) -> None:
    net, a, b, spec, example = related(name, torch.float32)
    key = [key for key in b if key.endswith("weight")][-1]
    place = torch.randint(b[key].numel(), ())
    b[key] = b[key].clone()
    b[key].view(-1)[place] *= 1.01
    found = ws.same(a, b, spec, module=net, example=example)
    assert found.verdict is Verdict.DIFFERENT, str(found)
    assert found.outputs is not None
    one, other = (
        functional_call(net.double(), {n: v.double() for n, v in params.items()}, found.outputs.inputs)
        for params in (a, b)
    )
    size = float(torch.maximum(one.abs().max(), other.abs().max()))
    assert float((one - other).abs().max()) / size == pytest.approx(found.outputs.difference)
    assert found.outputs.difference > 10 * found.outputs.explained


@settings(max_examples=10)
@given(case=networks(), seed=seeds, dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]))
def test_a_copy_is_the_same_network_and_its_outputs_agree_whatever_its_type(
    case: Case, seed: int, dtype: torch.dtype
) -> None:
    params = dict(case.module.state_dict())
    moved = ws.act(ws.sample(case.spec, seed, max_scale=4.0), params, case.spec)
    copied = {name: value.to(dtype) if value.is_floating_point() else value for name, value in moved.items()}
    found = ws.same(params, copied, case.spec, module=case.module, example=case.example)
    assert found.verdict is Verdict.SAME, str(found)
    assert found.outputs is not None
    assert found.outputs.agree, str(found.outputs)


def test_outputs_that_never_change_say_nothing() -> None:
    net, a, _, spec, example = related("dead neurons", torch.float32)
    a["4.weight"] = torch.zeros(3, 7)
    b = a | {"0.weight": a["0.weight"] + 1}
    found = ws.same(a, b, spec, module=net, example=example)
    assert found.verdict is Verdict.OPEN
    assert "so that they agree says nothing" in str(found)
    other = ws.same(a, b | {"4.bias": a["4.bias"] + 0.1}, spec, module=net, example=example)
    assert other.verdict is Verdict.DIFFERENT


def test_a_spec_that_does_not_hold_for_the_module_is_an_error_and_not_a_verdict() -> None:
    net = nn.Sequential(nn.Linear(9, 12), nn.Sigmoid(), nn.Linear(12, 3))
    params = dict(net.state_dict())
    wrong = ws.parse(
        "in[9] fixed\nh0[12] positive\nout[3] fixed\n\n0.weight h0 in~\n0.bias h0\n2.weight out h0~\n2.bias out"
    )
    moved = ws.act(ws.sample(wrong, 1), params, wrong)
    assert ws.same(params, moved, wrong)
    with pytest.raises(ws.SpecMismatch, match=r"yet outputs differ by .* the spec does not hold for Sequential"):
        ws.same(params, moved, wrong, module=net)


def test_a_network_that_cannot_be_run_is_refused_in_words() -> None:
    net, a, b, spec, _ = related("factors", torch.float32)
    with pytest.raises(ws.ConfigError, match=r"LowRank cannot be run on inputs of shape \[4, 8\]"):
        ws.same(a, b, spec, module=net, example=torch.zeros(4, 8))
    with pytest.raises(ws.ConfigError, match="meta device"):
        ws.same(a, b, spec, module=LowRank().to("meta"), example=torch.zeros(4, 9))
    with pytest.raises(ws.SpecMismatch, match=r"'0\.weight' is"):
        ws.same(a, b, spec, module=relu())


@pytest.mark.parametrize("make", ["float32 only", "tokens", "random"])
def test_networks_of_other_kinds_are_run(make: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.out = nn.Embedding(11, 9), nn.Linear(9, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = self.words(x) if make == "tokens" else x
            h = h.float() if make == "float32 only" else h
            return self.out(h + torch.rand(()) if make == "random" else h)

    net = Net()
    example = torch.zeros(2, 5, dtype=torch.long) if make == "tokens" else torch.zeros(2, 9)
    params = dict(net.state_dict())
    spec = ws.parse("w[11] fixed\nd[9] fixed\nout[3] fixed\n\nwords.weight w d\nout.weight out d~\nout.bias out")
    assert ws.same(params, params, spec, module=net, example=example)
    key = "out.weight"
    found = ws.same(params, params | {key: params[key] * 1.001}, spec, module=net, example=example)
    assert found.verdict is Verdict.DIFFERENT
    assert str(found).count("random tokens") == (make == "tokens")
