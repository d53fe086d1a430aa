"""Derived specs are right: the function is preserved, and by no larger group of the same kind."""

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from traced_networks import Dense, Image, assert_preserved, change, noise, spaces

import weightspace as ws
from weightspace.spec import SymmetrySpec, derive, to_text

ACTIVATIONS: list[tuple[str, type[nn.Module] | nn.Module, Callable[..., Tensor]]] = [
    ("positive", nn.ReLU, F.relu),
    ("positive", nn.LeakyReLU, F.leaky_relu),
    ("sign", nn.Tanh, F.tanh),
    ("sign", nn.Hardtanh, F.hardtanh),
    ("sign", nn.Softsign, F.softsign),
    ("sign", nn.Tanhshrink, F.tanhshrink),
    ("sign", nn.Hardshrink, F.hardshrink),
    ("sign", nn.Softshrink, F.softshrink),
    ("nonzero", nn.Identity, lambda h: h),
    ("trivial", nn.GELU, F.gelu),
    ("trivial", nn.SiLU, F.silu),
    ("trivial", nn.ELU, F.elu),
    ("trivial", nn.SELU, F.selu),
    ("trivial", nn.ReLU6, F.relu6),
    ("trivial", nn.Mish, F.mish),
    ("trivial", nn.Hardswish, F.hardswish),
    ("trivial", nn.Sigmoid, F.sigmoid),
    ("trivial", nn.Softplus, F.softplus),
    ("trivial", lambda: nn.Hardtanh(0, 6), lambda h: F.hardtanh(h, -1, 2)),
    ("trivial", lambda: nn.GELU("tanh"), lambda h: F.gelu(h, approximate="tanh")),
]
FUNCTIONS = [
    ("nonzero", torch.abs),
    ("nonzero", lambda h: h.abs_()),
    ("sign", torch.sin),
    ("sign", lambda h: h.sin_()),
    ("sign", torch.erf),
    ("sign", lambda h: h.tanh_()),
    ("sign", lambda h: h / (1 + h.abs())),
    ("trivial", lambda h: h.sigmoid_()),
    ("trivial", lambda h: torch.tanh(h).relu()),
    ("positive", lambda h: -F.relu(-h)),
]
IN_PLACE = [
    ("positive", nn.ReLU(inplace=True)),
    ("positive", nn.LeakyReLU(inplace=True)),
    ("sign", nn.Hardtanh(inplace=True)),
    ("trivial", nn.ReLU6(inplace=True)),
    ("trivial", nn.ELU(inplace=True)),
    ("trivial", nn.SELU(inplace=True)),
    ("trivial", nn.SiLU(inplace=True)),
    ("trivial", nn.Mish(inplace=True)),
    ("trivial", nn.Hardswish(inplace=True)),
    ("nonzero", nn.Dropout(inplace=True).eval()),
]
CASES = [
    *((group, as_module()) for group, as_module, _ in ACTIVATIONS),
    *((group, function) for group, _, function in ACTIVATIONS),
    *FUNCTIONS,
    *IN_PLACE,
]


def hidden_group(spec: SymmetrySpec) -> str:
    (space,) = spec.free
    return space.scale


@pytest.mark.parametrize(("group", "activation"), CASES)
def test_each_activation_passes_its_group_and_no_larger_one(group: str, activation: Callable[[Tensor], Tensor]) -> None:
    net = Dense(lambda _, h: activation(h))
    spec = derive(net, net.example())
    assert hidden_group(spec) == group
    assert_preserved(net, spec, net.example())
    for larger in {"sign", "positive"} if group == "trivial" else {"nonzero"} - {group}:
        claimed = tuple(replace(space, scale=larger) if space in spec.free else space for space in spec.spaces)
        # Large values too: ReLU6 is a ReLU below 6, and others are one far from 0.
        wrong = replace(spec, spaces=claimed)
        assert max(change(net, wrong, size * net.example()) for size in (9, 60)) > 1e-3


@given(
    widths=st.lists(st.integers(1, 7), min_size=2, max_size=6),
    activation=st.sampled_from([nn.Tanh, nn.ReLU, nn.GELU, nn.Identity]),
    bias=st.booleans(),
    batch=st.integers(1, 3),
)
def test_mlps_of_any_layout_have_one_space_per_layer(
    widths: list[int], activation: type[nn.Module], bias: bool, batch: int
) -> None:
    layers = [nn.Linear(d, m, bias=bias) for d, m in pairwise(widths)]
    net = nn.Sequential(*(part for layer in layers for part in (layer, activation()))).double()
    spec = derive(net, noise(batch, widths[0]))
    hidden = [f"h{index}" for index in range(len(widths) - 2)]
    assert [space.name for space in spec.spaces] == ["in", *hidden, "out"]
    assert [space.size for space in spec.spaces] == widths
    assert [space.name for space in spec.free] == hidden
    assert list(spec.axes) == list(net.state_dict())
    assert_preserved(net, spec, noise(batch, widths[0]))


def test_the_spec_of_a_convolutional_network_reads_as_in_the_notation() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 6), nn.Tanh(), nn.Linear(6, 4)
    ).double()
    spec = ws.derive(net, noise(2, 3, 8, 8))
    assert to_text(spec) == (
        "in[3] fixed\nh0[8] positive\nh1[6] sign\nout[4] fixed\n\n"
        "0.weight  h0 in~ .3 .3\n0.bias    h0\n4.weight  h1 h0*9~\n4.bias    h1\n6.weight  out h1~\n6.bias    out\n"
    )
    assert_preserved(net, spec, noise(2, 3, 8, 8))


POINTWISE = {
    "multiply by numbers": ("nonzero", lambda _, h: 30 * h / 2 * -1.0),
    "negate": ("nonzero", lambda _, h: -h),
    "scalar buffers": ("nonzero", lambda net, h: h * net.omega / net.gain),
    "learned scalar": ("nonzero", lambda net, h: net.learned * h),
    "scalar made in forward": ("nonzero", lambda _, h: h * torch.tensor(3.0)),
    "computed scalar": ("nonzero", lambda net, h: h * net.omega.exp()),
    "scalar as a number": ("nonzero", lambda net, h: h * net.omega.item()),
    "multiply in place": ("nonzero", lambda _, h: h.mul_(2.0)),
    "add nothing": ("nonzero", lambda _, h: sum([h])),
    "add a number": ("trivial", lambda _, h: h + 1),
    "add before relu": ("trivial", lambda _, h: F.relu(h + 0.5)),
    "add after relu": ("trivial", lambda _, h: F.relu(h) + 1),
    "add in place": ("trivial", lambda _, h: h.add_(0.5)),
    "subtract from a number": ("trivial", lambda _, h: 1 - h),
    "add with alpha": ("trivial", lambda net, h: torch.add(net.omega, h, alpha=2)),
    "subtract with alpha": ("trivial", lambda net, h: torch.sub(h, net.gain, alpha=3)),
    "dropout": ("nonzero", lambda net, h: F.dropout(h, 0.5, net.training)),
    "alpha dropout": ("nonzero", lambda net, h: F.alpha_dropout(h, 0.5, net.training)),
    "casts": ("nonzero", lambda _, h: h.to(torch.float64).type_as(h).contiguous().clone().detach()),
    "like a parameter": ("nonzero", lambda net, h: h.type_as(net.first.weight)),
    "without gradients": ("sign", lambda _, h: no_grad_tanh(h)),
    "there and back": ("nonzero", lambda _, h: h.T.unsqueeze(-1).transpose(0, 1).squeeze(2)),
    "move axes": ("nonzero", lambda _, h: h[None].movedim(0, 1).mT.permute(0, 2, 1).squeeze(1)),
    "reshape there and back": ("nonzero", lambda _, h: h.reshape(1, -1, 6, 1).view(h.shape[0], 6)),
    "unused results": ("nonzero", lambda _, h: (h.sum(), h.softmax(1), h)[2]),
}


def no_grad_tanh(h: Tensor) -> Tensor:
    with torch.no_grad():
        return h.tanh()


@pytest.mark.parametrize("name", POINTWISE)
def test_what_treats_neurons_alike_is_followed(name: str) -> None:
    group, middle = POINTWISE[name]
    net = Dense(middle)
    spec = derive(net, net.example())
    assert hidden_group(spec) == group
    assert_preserved(net, spec, net.example())


SPATIAL = {
    "flatten": ("nonzero", lambda _, h: h.flatten(1)),
    "flatten and back": ("nonzero", lambda _, h: h.flatten(1).unflatten(1, (4, 6, 6))),
    "view": ("nonzero", lambda _, h: h.view(h.shape[0], -1)),
    "channels last and back": ("positive", lambda _, h: h.permute(0, 2, 3, 1).relu_().permute(0, 3, 1, 2).neg()),
    "channels last linear": ("nonzero", lambda _, h: h.permute(0, 2, 3, 1).flatten(1, 2)),
    "rows of channels": ("nonzero", lambda _, h: h.reshape(h.shape[0], 4 * 6, 6, 1)),
    "average pool": ("nonzero", lambda _, h: F.avg_pool2d(h, 4, 2, 1, ceil_mode=True, count_include_pad=False)),
    "average pool divisor": ("nonzero", lambda _, h: F.avg_pool2d(h, 2, divisor_override=3)),
    "adaptive average pool": ("nonzero", lambda _, h: F.adaptive_avg_pool2d(h, (None, 4))),
    "global average pool": ("nonzero", lambda _, h: F.adaptive_avg_pool2d(h, 1).flatten(1)),
    "mean": ("nonzero", lambda _, h: h.mean((2, 3))),
    "mean and sum": ("nonzero", lambda _, h: h.mean(-1, keepdim=True).sum((-1, -2))),
    "block mean": ("nonzero", lambda _, h: h.reshape(-1, 4, 3, 2, 3, 2).mean((3, 5))),
    "max pool": ("positive", lambda _, h: F.max_pool2d(h, 2, ceil_mode=True)),
    "max pool of tanh": ("trivial", lambda _, h: F.max_pool2d(h.tanh(), 2)),
    "max pool, indices unread": ("positive", lambda _, h: F.max_pool2d(h, 2, return_indices=True)[0]),
    "adaptive max pool": ("positive", lambda _, h: F.adaptive_max_pool2d(h, 2)),
    "largest": ("positive", lambda _, h: h.amax((2, 3))),
    "largest of rows": ("positive", lambda _, h: h.max(-1)[0].mean(-1)),
    "pad with zeros": ("nonzero", lambda _, h: F.pad(h, (1, 0, 2, 1))),
    "pad by reflection": ("nonzero", lambda _, h: F.pad(h, (1, 1, 1, 1), mode="reflect")),
    "pad with ones": ("trivial", lambda _, h: F.pad(h, (1, 1), value=1.0)),
    "crop": ("nonzero", lambda _, h: F.pad(h, (-1, -1))),
    "feature dropout": ("nonzero", lambda net, h: F.dropout2d(h, 0.5, net.training)),
    "in place on a view": ("positive", lambda _, h: (h.flatten(2).relu_(), h)[1]),
}


@pytest.mark.parametrize("name", SPATIAL)
def test_pooling_and_reshaping_of_channels_is_followed(name: str) -> None:
    group, middle = SPATIAL[name]
    net = Image(middle)
    spec = derive(net, net.example())
    assert hidden_group(spec) == group
    assert_preserved(net, spec, net.example())


CONVOLUTIONS: list[dict[str, object]] = [
    {"padding": "same", "dilation": 2},
    {"padding": "valid", "stride": 2},
    {"padding": (1, 2), "bias": False},
    {"padding": 1, "padding_mode": "reflect"},
    {"padding": "same", "padding_mode": "circular"},
]


@pytest.mark.parametrize("conv", CONVOLUTIONS)
def test_convolutions_of_any_stride_and_padding_are_followed(conv: dict[str, object]) -> None:
    net = Image(lambda _, h: F.relu(h), **conv)
    spec = derive(net, net.example())
    assert spaces(spec) == "in[2] | h0[4] S4 x positive | out[2]"
    assert_preserved(net, spec, net.example())


def test_images_without_a_batch_axis_are_followed() -> None:
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(0), nn.Linear(16, 3)
    ).double()
    spec = derive(net, noise(2, 6, 6))
    assert spaces(spec) == "in[2] | h0[4] S4 x positive | out[3]"
    assert_preserved(net, spec, noise(2, 6, 6))


class Siren(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("omega", torch.tensor(30.0))
        self.layers = nn.ModuleList([nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 1)])
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = 2 * (x - 0.5)
        for layer in self.layers[:-1]:
            x = torch.sin(self.omega * layer(x))
        return self.layers[-1](x) + 0.5


def test_siren_with_its_frequency_and_offset_has_sign_symmetry() -> None:
    net = Siren()
    spec = derive(net, noise(7, 2))
    assert spaces(spec) == "in[2] | h0[8] S8 x sign | h1[8] S8 x sign | out[1]"
    assert spec.axes["omega"] == ()
    assert_preserved(net, spec, noise(7, 2))


class Between(nn.Module):
    """Operations without any rule, on inputs and outputs only."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", noise(3, 1, 1))
        self.register_buffer("std", noise(3, 1, 1).exp(), persistent=False)
        self.gain = nn.Parameter(noise(3, 1, 1))
        self.norm = nn.BatchNorm2d(3)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
        self.double()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.norm((x - self.mean) / self.std * self.gain).cos().clamp(-1, 1)
        logits = self.body(torch.where(x > 0, x, x**2))
        return {"p": logits.softmax(-1), "top": logits.topk(2)[0], "gap": logits[:, :1] - logits[:, 1:]}


def test_whatever_lies_between_fixed_spaces_is_accepted_unread() -> None:
    net = Between()
    spec = derive(net, noise(2, 3, 6, 6))
    # The gains of the inputs have scales, their normalization as well; the inputs keep their places.
    assert [space.size for space in spec.free if not space.ordered and not space.like] == [4]
    assert list(spec.axes) == list(net.state_dict())
    assert spec.shape("norm.running_var") == (3,)
    assert_preserved(net, spec, noise(2, 3, 6, 6))


class Several(nn.Module):
    """Two inputs, one of them read twice, a hidden feature that is returned, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(2, 5), nn.Linear(3, 6)
        self.d, self.e, self.f = nn.Linear(4, 2), nn.Linear(5, 2), nn.Linear(6, 3)
        self.double()

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, list[Tensor]]]:
        a, b, c = self.a(x).tanh(), self.b(y).relu(), self.c(2 * x).sin()
        return self.d(a), {"rest": [self.e(b), self.f(c), b]}


def test_inputs_outputs_and_returned_features_are_fixed_under_their_names() -> None:
    net, example = Several(), (noise(4, 3), noise(4, 2, seed=1))
    spec = derive(net, example)
    assert spaces(spec) == "in[3] | h0[4] S4 x sign | in1[2] | h1[5] | h2[6] S6 x sign | out[2] | out1[2] | out2[3]"
    assert spec.axes["a.weight"][1].space == spec.axes["c.weight"][1].space == "in"
    assert_preserved(net, spec, example)


def test_shared_activation_modules_and_several_readers_are_followed() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.relu = nn.ModuleList(nn.Linear(3, 3) for _ in range(4)), nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = self.layers[0](x)
            self.relu(h)  # later readers of h see the new values
            return self.layers[2](self.relu(self.layers[1](h))), self.layers[3](h)

    net = Net().double()
    spec = derive(net, noise(2, 3))
    assert spaces(spec) == "in[3] | h0[3] S3 x positive | h1[3] S3 x positive | out[3] | out1[3]"
    assert_preserved(net, spec, noise(2, 3))


def test_unread_entries_and_scalars_have_axes_nothing_acts_on() -> None:
    net = Dense(lambda _, h: h.tanh())
    net.spare = nn.Linear(4, 4)
    spec = derive(net, net.example())
    assert list(spec.axes) == list(net.state_dict())
    assert [axis.space for axis in spec.axes["spare.weight"]] == [None, None]
    assert spec.check(dict(net.state_dict())) is None


def test_networks_that_cannot_be_moved_have_no_spaces() -> None:
    assert derive(nn.Flatten(), noise(2, 3)).spaces == ()
    assert spaces(derive(nn.Linear(3, 2), noise(2, 3).float())) == "in[3] | out[2]"


def test_a_single_neuron_may_be_rescaled_and_a_flattened_channel_too() -> None:
    net = Image(lambda _, h: h.flatten(1), channels=1, batch=1)
    spec = derive(net, net.example())
    assert spec.axes["second.weight"][1].repeat == 36
    assert_preserved(net, spec, net.example())
    narrow = Dense(lambda _, h: h.relu(), width=1)
    assert_preserved(narrow, derive(narrow, narrow.example()), narrow.example())


def test_deriving_leaves_the_module_and_the_random_state_alone() -> None:
    net = Dense(lambda _, h: F.dropout(h.tanh(), training=_.training)).train()
    net.second.eval()
    state, seed = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    derive(net, net.example())
    assert (net.training, net.first.training, net.second.training) == (True, True, False)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), seed)
    with pytest.raises(ws.SpecError):
        derive(net, noise(2, 9))
    assert net.training


def test_a_module_on_the_meta_device_and_a_deep_one_are_derived() -> None:
    with torch.device("meta"):
        net = nn.Sequential(*(part for _ in range(50) for part in (nn.Linear(64, 64), nn.ReLU())))
    spec = derive(net, torch.empty(2, 64, device="meta"))
    assert len(spec.free) == 49
    assert derive(net, torch.randn(2, 64)) == spec
    assert {space.scale for space in spec.free} == {"positive"}


def autocast_region(net: nn.Module, h: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return h.tanh() * net.omega


EMPTY = {
    "an empty slice": lambda _, h: torch.cat([h[:, :6].tanh(), h[:, 6:]], 1),
    "an empty part": lambda _, h: torch.cat([*h.tanh().split([6, 0], 1), h.new_empty(0)], 1),
    "a sum over nothing": lambda _, h: h.tanh() + h[:, 6:].sum(1, keepdim=True),
    "an autocast region": autocast_region,
    "a rounded table": lambda net, h: h.tanh() * torch.div(net.omega * 9, 2, rounding_mode="floor"),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_slices_autocast_and_constants_stand_in_nobodys_way(name: str) -> None:
    net = Dense(EMPTY[name])
    spec = ws.derive(net, net.example())
    assert str(spec) == "in[3] | h0[6] S6 x sign | out[2]"
    assert_preserved(net, spec, net.example())


OPERATIONS: list[Callable[[Tensor], Tensor]] = [
    F.relu,
    torch.tanh,
    lambda h: h + 0.3,
    lambda h: 2 * h,
    lambda h: h.flatten(1),
    lambda h: h.flatten(-2),
    lambda h: h.transpose(1, -1),
    lambda h: h.transpose(-1, -2),
    lambda h: h.mean(-1),
    lambda h: h.amax(1),
    lambda h: h.squeeze(),
    lambda h: h.unsqueeze(-1),
    lambda h: h.reshape(h.shape[0], -1, 2),
    lambda h: h.reshape(-1, h.shape[-1]),
    lambda h: F.max_pool2d(h, 2),
    lambda h: F.avg_pool2d(h, 2),
    lambda h: F.pad(h, (1, 1)),
    lambda h: F.softsign(h),
    lambda h: h.unflatten(1, (2, -1)),
    lambda h: h.mT,
]


@given(
    steps=st.lists(st.integers(0, len(OPERATIONS) - 1), max_size=4),
    channels=st.sampled_from([1, 2, 4]),
    batch=st.integers(1, 3),
    first=st.booleans(),
)
def test_no_chain_of_operations_is_ever_read_wrongly(steps: list[int], channels: int, batch: int, first: bool) -> None:
    def middle(_: nn.Module, h: Tensor) -> Tensor:
        for step in steps:
            h = OPERATIONS[step](h)
        return h if first or h.ndim != 4 else h.flatten(2)

    try:
        net = Image(middle, channels=channels, batch=batch)
    except (RuntimeError, IndexError, ValueError):
        return  # torch itself does not run this chain
    try:
        spec = derive(net, net.example())
    except ws.SpecError:
        spec = derive(net, net.example(), on_unknown="pin")
    assert_preserved(net, spec, net.example())
