"""The gauge leaves the function of real networks alone; a wrong spec or a changed number does not."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specs import Case, cnns, mlps, networks, seeds
from torch import nn

from weightspace import SpecMismatch
from weightspace.gauge import act, same_function, sample
from weightspace.spec import parse, to_text
from weightspace.testing import assert_same_function
from weightspace.zoo import Siren


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("draws", [mlps(), cnns()], ids=["mlp", "cnn"])
def test_the_gauge_preserves_the_function(dtype, limit, draws):
    @given(case=draws, seed=seeds)
    def law(case: Case, seed: int) -> None:
        case = case.to(dtype)
        moved = act(sample(case.spec, seed, max_scale=64.0), case.module.state_dict(), case.spec)
        assert same_function(case.module, moved, case.example) <= limit

    law()


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_signs_preserve_the_function_of_a_siren(dtype, limit):
    torch.manual_seed(0)
    siren = Siren((2, 8, 8, 3)).to(dtype)
    names = list(siren.state_dict())
    spaces, params = "in[2] fixed\nh0[8] sign\nh1[8] sign\nout[3] fixed\n\n", []
    for name in names:
        layer = int(name.split(".")[1]) if name.startswith("layers") else None
        if layer is None:
            params.append(name + "".join(f" .{size}" for size in siren.state_dict()[name].shape))
            continue
        target, source = ["h0", "h1", "out"][layer], ["in", "h0", "h1"][layer]
        params.append(f"{name} {target}" + (f" {source}~" if name.endswith("weight") else ""))
    # A sine of frequency 30 amplifies rounding by as much.
    assert_same_function(siren, parse(spaces + "\n".join(params)), tolerance=30 * limit)


@given(case=networks(groups=("trivial", "sign", "nonzero")))
def test_a_small_change_of_the_last_layer_is_detected(case):
    params = dict(case.module.state_dict())
    assert same_function(case.module, params, case.example) == 0.0
    last = [name for name in params if name.endswith("weight")][-1]
    assert same_function(case.module, params | {last: 1.01 * params[last]}, case.example) > 1e-6


def wrong_group(case: Case, old: str, new: str) -> Case:
    text = "\n".join(line.replace(f" {old}", f" {new}") for line in to_text(case.spec).splitlines())
    return Case(case.module, parse(text), case.example)


@pytest.mark.parametrize(("group", "wrong"), [("sign", "positive"), ("positive", "sign")])
@given(data=st.data())
def test_a_spec_with_a_wrong_group_fails(group, wrong, data):
    case = wrong_group(data.draw(mlps(groups=(group,))), group, wrong)
    with pytest.raises(AssertionError, match="changes the output by"):
        assert_same_function(case.module, case.spec, 3 * case.example, num=20)


def test_a_spec_with_a_wrong_axis_fails():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).double()
    right = "in[4] fixed\nh0[4] positive\nout[4] fixed\n\n0.weight h0 in~\n0.bias h0\n2.weight out h0~\n2.bias out"
    assert_same_function(net, parse(right))
    for good, bad in [("h0 in~", ".4 in~"), ("0.bias h0", "0.bias .4"), ("out h0~", "out h0"), ("out h0~", "out .4")]:
        with pytest.raises(AssertionError, match="changes the output by"):
            assert_same_function(net, parse(right.replace(good, bad)))


def test_a_stack_or_another_architecture_is_refused_by_name():
    net = nn.Linear(3, 2)
    with pytest.raises(SpecMismatch, match=r"'weight' is \[2, 3\] in the module and \[1, 2, 3\]"):
        same_function(net, {name: value[None] for name, value in net.state_dict().items()})
    with pytest.raises(SpecMismatch, match=r"'bias' is \[2\] in the module and absent"):
        same_function(net, {"weight": net.weight})


class Heads(nn.Module):
    """Two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.first(x), self.second(x)


@pytest.mark.parametrize("name", ["first.weight", "second.weight"])
def test_a_nan_in_any_output_is_reported(name):
    net = Heads()
    broken = dict(net.state_dict()) | {name: torch.full((2, 2), float("nan"))}
    with pytest.raises(SpecMismatch, match="not finite"):
        same_function(net, broken)


def test_modes_of_all_parts_are_left_alone():
    net = Heads().train()
    net.first.eval()
    same_function(net, net)
    assert (net.training, net.first.training, net.second.training) == (True, False, True)
