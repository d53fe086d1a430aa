"""What cannot be read is refused by name and place; pinned, the rest is still right, and so is all that is read."""

import copy
import logging
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from traced_networks import Dense, Image, Middle, assert_preserved, noise, spaces

import weightspace as ws
from weightspace.spec import derive

HIDDEN: dict[str, tuple[str, Middle]] = {
    "cosine": ("cos", lambda _, h: h.cos()),
    "square": ("pow", lambda _, h: h**2),
    "clamp": ("clamp", lambda _, h: h.clamp(-1, 1)),
    "threshold": ("threshold", lambda _, h: F.threshold(h, 0.1, 0.0)),
    "where": ("gt", lambda _, h: torch.where(h > 0, h, 0.1 * h)),
    "reciprocal": ("reciprocal", lambda _, h: 1 / (h + 9)),
    "divisor": ("div", lambda net, h: torch.div(net.omega, h + 9)),
    "rounding division": ("div", lambda _, h: torch.div(h, 0.1, rounding_mode="floor")),
    "cast to integers": ("to", lambda _, h: h.long().double()),
    "complex factor": ("mul", lambda _, h: (h * 1j).imag),
    "bits": ("view", lambda _, h: h.view(torch.int64).double()),
    "mask per neuron": ("mul", lambda net, h: h * net.mask),
    "shift per neuron": ("add", lambda net, h: h + net.mask),
    "constant per neuron": ("mul", lambda _, h: h * torch.arange(6.0)),
    "noise": ("randn_like", lambda _, h: h + 0 * torch.randn_like(h)),
    "residual": ("add", lambda _, h: h + h.tanh()),
    "in-place residual": ("add", lambda _, h: torch.tanh(h).add_(h)),
    "gate": ("mul", lambda _, h: h * h.sigmoid()),
    "broken softsign": ("div", lambda _, h: (a := h.abs(), h / (1 + a) + a)[1]),
    "broken tanhshrink": ("sub", lambda _, h: h - 2 * h.tanh()),
    "concatenation": ("cat", lambda _, h: torch.cat([h, h], 1)[:, 3:9]),
    "soft-max": ("softmax", lambda _, h: h.softmax(-1)),
    "layer norm": ("layer_norm", lambda _, h: F.layer_norm(h, (6,))),
    "mean over neurons": ("mean", lambda _, h: h - h.mean(1, keepdim=True)),
    "sum over everything": ("sum", lambda _, h: h / h.sum()),
    "largest neuron": ("amax", lambda _, h: h / h.amax(1, keepdim=True)),
    "sorted": ("sort", lambda _, h: h.sort(1)[0]),
    "product with a constant": ("matmul", lambda _, h: h @ torch.eye(6, dtype=h.dtype).cumsum(0)),
    "constant linear": ("linear", lambda _, h: F.linear(h, torch.eye(6, dtype=h.dtype).cumsum(0))),
    "first neurons": ("slice", lambda _, h: F.pad(h[:, :3], (0, 3))),
    "write to a neuron": ("zero", lambda _, h: (h[:, 0].zero_(), h)[1]),
    "write to a view": ("slice", lambda _, h: (h[:, 2:].relu_(), h)[1]),
    "fill": ("fill", lambda _, h: (h.view(5, 6).fill_(0.5), h)[1]),
    "copy into a constant": ("copy", lambda net, h: (z := net.mask.repeat(5, 1), z.copy_(h), z)[2]),
    "write to an argument": ("tanh", lambda net, h: (z := net.mask.repeat(5, 1), torch.tanh(h, out=z), z)[2]),
    "add to a constant": ("add", lambda net, h: (z := net.mask.repeat(5, 1), z.add_(h), z)[2]),
    "groups of neurons": ("view", lambda _, h: h.view(-1, 2, 3).transpose(1, 2).flatten(1)),
    "merged with the batch": ("roll", lambda _, h: h.reshape(-1).roll(1).view(5, 6)),
    "product with a weight": ("matmul", lambda net, h: h @ net.first.weight @ net.first.weight.T),
    "padded neurons": ("pad", lambda _, h: F.pad(h[:, None], (0, 1)).sum(1)[:, :6]),
    "hard sigmoid": ("hardsigmoid", lambda _, h: F.hardsigmoid(h)),
    "learned slopes": ("prelu", lambda net, h: F.prelu(h, net.mask)),
    "one neuron at a time": ("select", lambda _, h: torch.stack([h[:, i] for i in range(6)], 1)),
}

IMAGES: dict[str, tuple[str, Middle]] = {
    "position-major flatten": ("flatten", lambda _, h: h.permute(0, 2, 3, 1).flatten(1)),
    "flatten with the batch": ("flatten", lambda _, h: h.flatten(0, 1).flatten(1)),
    "split channels": ("view", lambda _, h: h.view(-1, 2, 2, 36).transpose(1, 2).flatten(1)),
    "linear before flatten": ("linear", lambda _, h: h),
    "convolution over a transposed axis": ("conv2d", lambda _, h: h.transpose(1, 2)),
    "channels last pooling": ("max_pool2d", lambda _, h: F.max_pool2d(h.permute(0, 2, 3, 1), 2).flatten(1)),
    "maximum over channels": ("max", lambda _, h: h.max(1, keepdim=True)[0]),
    "mean over channels": ("mean", lambda _, h: h.mean(1, keepdim=True)),
    "padded channels": ("pad", lambda _, h: F.pad(h, (0, 0, 0, 0, 0, 1))),
    "pooled positions": ("to", lambda _, h: F.max_pool2d(h, 2, return_indices=True)[1].to(h.dtype)),
    "unpooling": ("max_unpool2d", lambda _, h: F.max_unpool2d(*F.max_pool2d(h, 2, return_indices=True), 2)),
    "grouped": ("conv2d", lambda net, h: F.conv2d(h, net.kernel, groups=4)),
    "upsampling": ("upsample_nearest2d", lambda _, h: F.interpolate(h, scale_factor=2)),
    "pixel shuffle": ("pixel_shuffle", lambda _, h: F.pixel_shuffle(h, 2)),
    "channel shuffle": ("channel_shuffle", lambda _, h: F.channel_shuffle(h, 2)),
    "standard deviation": ("std", lambda _, h: h.std((2, 3))),
    "power pooling": ("pow", lambda _, h: F.lp_pool2d(h.abs(), 2, 2)),
    "one channel": ("select", lambda _, h: h[:, 0].flatten(1)),
    "chunks": ("chunk", lambda _, h: torch.cat(h.chunk(2, 1)[::-1], 1)),
}


class LinearOnPositions(Image):
    def __init__(self) -> None:
        super().__init__(lambda _, h: h)
        self.second = nn.Linear(6, 2).double()


def image_net(name: str) -> Image:
    if name == "linear before flatten":
        return LinearOnPositions()
    middle = IMAGES[name][1]
    if name != "grouped":
        return Image(middle)
    net = Image(lambda _, h: h)
    net.kernel, net.middle = nn.Parameter(noise(4, 1, 3, 3)), middle
    return net


class Reads(nn.Module):
    """A network whose forward is given; its layers are ``a``, ``b``, ``c`` of width 4."""

    def __init__(self, forward: Middle) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(4, 4, dtype=torch.float64) for _ in range(3))
        self.run = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def tied() -> Reads:
    net = Reads(lambda net, x: net.c(net.b(net.a(x).tanh()).tanh()))
    net.b.weight = net.a.weight
    return net


def overlapping() -> Reads:
    net = Reads(lambda net, x: net.c(net.b(net.a(x).tanh()).tanh()))
    net.b.weight = nn.Parameter(net.a.weight.data.T)
    return net


def captured() -> Reads:
    net = Reads(lambda net, x: net.c(net.a(x).tanh() * 2) + x @ net.memory)
    net.memory = net.c.weight.data
    return net


PARAMETERS: dict[str, tuple[str, Reads]] = {
    "tied under two names": ("linear", tied()),
    "overlapping in memory": ("linear", overlapping()),
    "captured by a constant": ("linear", captured()),
    "used twice": ("linear", Reads(lambda net, x: net.c(net.b(net.b(net.a(x)).tanh())))),
    "transposed": ("numpy_T", Reads(lambda net, x: net.c(F.linear(x, net.a.weight.T)))),
    "computed": ("mul", Reads(lambda net, x: net.c(F.linear(x, net.a.weight * 2)))),
    "computed with the input": ("mul", Reads(lambda net, x: net.c(F.linear(x, net.a.weight * x.mean())))),
    "matrix product": ("matmul", Reads(lambda net, x: net.c((x @ net.a.weight).tanh()))),
    "computed bias": ("mul", Reads(lambda net, x: net.c(F.linear(x, net.a.weight, net.a.bias * 2)))),
    "bias of another": ("linear", Reads(lambda net, x: net.c(F.linear(net.a(x), net.b.weight, net.a.bias)))),
    "penalized": ("mul", Reads(lambda net, x: net.c(net.a(x).tanh()) * net.a.bias)),
    "changed in place": ("mul", Reads(lambda net, x: (net.a.weight.mul_(2), net.c(net.a(x)))[1])),
    "as data": ("linear", Reads(lambda net, x: x + net.c(F.linear(net.b.weight, net.a.weight)))),
    "weights by a network": ("linear", Reads(lambda net, x: F.linear(x, net.c(net.a(x).tanh())))),
    "bias by a network": (
        "linear",
        Reads(lambda net, x: net.c(F.linear(x, torch.eye(4).double(), net.a(x[:1]).view(4)))),
    ),
    "transposed data": (r"linear on h0\[4\]", Reads(lambda net, x: net.c(net.b(net.a(x).T).T))),
    "returned": ("forward returns", Reads(lambda net, x: (net.c(net.a(x).tanh()), net.a.weight))),
}


def around(layer: nn.Module) -> nn.Module:
    """Linear, the layer under the name ``block.layer``, Linear."""
    block = nn.Sequential(OrderedDict(layer=layer))
    return nn.Sequential(OrderedDict(first=nn.Linear(3, 4), block=block, last=nn.Linear(4, 2)))


class Squares(nn.Bilinear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x, x)


LAYERS = {
    "batch norm": (around(nn.BatchNorm1d(4)), noise(5, 3)),
    "group norm": (around(nn.GroupNorm(2, 4)), noise(5, 3)),
    "prelu": (around(nn.PReLU(4)), noise(5, 3)),
    "softmax": (around(nn.Softmax(1)), noise(5, 3)),
    "embedding": (nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 2)), torch.arange(5)),
    "transposed convolution": (nn.Sequential(nn.ConvTranspose2d(2, 4, 3)), noise(1, 2, 5, 5)),
    "grouped": (nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 2, 1)), noise(1, 4, 5, 5)),
    "weight norm": (nn.Sequential(weight_norm(nn.Linear(3, 4)), nn.Linear(4, 2)), noise(5, 3)),
    "bilinear": (nn.Sequential(Squares(3, 3, 4), nn.Linear(4, 2)), noise(5, 3)),
    "transformer layer": (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), noise(2, 3, 4)),
}
UNREAD = {
    "rounding division",
    "cast to integers",
    "complex factor",
    "bits",
    "noise",
    "sorted",
    "fill",
    "write to an argument",
    "merged with the batch",
    "channels last pooling",
    "pooled positions",
    "unpooling",
    "captured by a constant",
    "changed in place",
    "returned",
}
"""Cases of the tables above that are refused; the others are read."""


def assert_refused_then_pinned(net: nn.Module, example: Tensor, *words: str) -> None:
    with pytest.raises(ws.SpecError) as refusal:
        derive(net, example)
    for word in (*words, 'ws.derive(net, example, on_unknown="pin")'):
        assert word in str(refusal.value)
    assert_preserved(net, derive(net, example, on_unknown="pin"), example)


@pytest.mark.parametrize("name", HIDDEN)
def test_operations_on_neurons_are_read_rightly_or_refused_by_name(name: str) -> None:
    operation, middle = HIDDEN[name]
    net = Dense(middle)
    if name in UNREAD:
        assert_refused_then_pinned(net, net.example(), f"calls {operation}", "Dense")
    else:
        assert_preserved(net, derive(net, net.example()), net.example())


@pytest.mark.parametrize("name", IMAGES)
def test_operations_on_channels_are_read_rightly_or_refused_by_name(name: str) -> None:
    net = image_net(name)
    if name in UNREAD:
        assert_refused_then_pinned(net, net.example(), f"calls {IMAGES[name][0]}")
    else:
        assert_preserved(net, derive(net, net.example()), net.example())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_with_several_readers_move_in_one_way_or_are_refused(name: str) -> None:
    words, net = PARAMETERS[name]
    example = noise(4, 4)
    if name in UNREAD:
        with pytest.raises(ws.SpecError, match=words):
            derive(net, example)
    spec = derive(net, example, on_unknown="pin" if name in UNREAD else "refuse")
    assert list(spec.axes) == list(net.state_dict())
    # Copies, since some of these networks change their own weights; loading, since some parameters are tied.
    here, there = copy.deepcopy(net), copy.deepcopy(net)
    there.load_state_dict(ws.act(ws.sample(spec), dict(net.state_dict()), spec))
    with torch.no_grad():
        torch.testing.assert_close(there(example), here(example), rtol=1e-11, atol=1e-11)


def test_dropout_that_stays_on_is_refused() -> None:
    net = Dense(lambda _, h: F.dropout(h, 0.5, training=True))
    with pytest.raises(ws.SpecError, match=r"calls dropout .* stays random in eval mode; pass training=self.training"):
        derive(net, net.example())


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_read(name: str) -> None:
    net, example = LAYERS[name]
    spec = derive(net.double(), example)
    assert_preserved(net, spec, example)


def test_pinning_leaves_the_other_spaces_free() -> None:
    net = nn.Sequential(
        *(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5), Sorted(), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 2))
    ).double()
    with pytest.raises(
        ws.SpecError, match=r"'3' \(Sorted\): it calls sort on hidden values of shape \[4, 5\]; it works"
    ):
        derive(net, noise(4, 3))
    spec = derive(net, noise(4, 3), on_unknown="pin")
    assert spaces(spec) == "in[3] | h0[4] S4 x sign | h1[5] | in1[5] | h2[6] S6 x positive | out[2]"
    assert_preserved(net, spec, noise(4, 3))


class Sorted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sort(-1)[0]


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x)
        return h if h.sum() > 0 else -h


class StateHook(nn.Linear):
    def get_extra_state(self) -> str:
        return "version 1"

    def set_extra_state(self, state: object) -> None:
        pass


def renamed() -> nn.Module:
    net = nn.Sequential(nn.Linear(3, 4))
    net.register_state_dict_post_hook(lambda _, state, *__: state.update(w=state.pop("0.weight")))
    return net


class Packed(nn.Module):
    """An LSTM over a packed sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.cell, self.out = nn.Linear(4, 5), nn.LSTM(5, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(self.first(x), torch.tensor([5, 3]), batch_first=True)
        return self.out(nn.utils.rnn.pad_packed_sequence(self.cell(packed)[0], batch_first=True)[0][:, -1])


UNTRACEABLE = [
    pytest.param(Packed(), noise(2, 5, 4).float(), "packs sequences, .* the padded tensor", id="packed"),
    pytest.param(Branching(), noise(2, 3).float(), "depends on the values of a tensor", id="control flow"),
    pytest.param(nn.Linear(3, 4), noise(2, 5).float(), r"forward raised .*\[2, 5\].*The example has", id="shape"),
    pytest.param(nn.Linear(3, 4), (noise(2, 3), noise(2, 3)), "forward raised TypeError", id="too many"),
    pytest.param(nn.LazyLinear(4), noise(2, 3).float(), "uninitialized", id="lazy"),
    pytest.param(nn.Linear(3, 4), [[1.0, 2.0, 3.0]], "a dict of keyword arguments, got list", id="list"),
    pytest.param(nn.Linear(3, 4), (noise(2, 3), 3), "got a tuple of Tensor, int", id="number"),
    pytest.param(nn.Linear(3, 4), (), "got an empty tuple", id="empty"),
    pytest.param(nn.Linear(3, 4), {}, "got an empty dict", id="no keywords"),
    pytest.param(nn.Linear(3, 4), {"input": [1.0]}, "got a dict of input: list", id="list by keyword"),
    pytest.param(nn.Linear(3, 4), {"x": noise(2, 3)}, r"forward raised .*x=\[2, 3\]", id="wrong keyword"),
    pytest.param({"weight": noise(3, 4)}, noise(2, 3), "needs a torch.nn.Module, got dict", id="state dict"),
    pytest.param(StateHook(3, 4), noise(2, 3).float(), "'_extra_state' of StateHook is str", id="extra state"),
    pytest.param(renamed(), noise(2, 3).float(), "'0.weight' of Sequential is not in its state_dict", id="renamed"),
]


@pytest.mark.parametrize(("net", "example", "message"), UNTRACEABLE)
def test_networks_and_examples_that_cannot_be_traced_say_why_in_short(
    net: nn.Module, example: Tensor, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ws.SpecError, match=message) as refusal:
        derive(net, example)
    assert len(str(refusal.value)) < 600
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == 0


def test_another_word_for_on_unknown_is_refused() -> None:
    with pytest.raises(ws.SpecError, match='"refuse" or "pin", got \'ignore\''):
        derive(nn.Linear(3, 4), noise(2, 3), on_unknown="ignore")  # type: ignore[arg-type]
