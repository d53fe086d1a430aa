"""Hypothesis strategies for random specs, and for random networks together with their spec."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from torch import Tensor, nn
from torch.nn import functional

from weightspace.spec import ScaleName, SymmetrySpec, parse

GROUPS: tuple[ScaleName, ...] = ("trivial", "sign", "positive", "nonzero")
POSITIVE_SCALES = ("positive", "nonzero")
Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[ScaleName, tuple[Activation, ...]] = {
    "trivial": (functional.gelu, torch.sigmoid),
    "sign": (torch.tanh, torch.sin),
    "positive": (torch.relu, functional.leaky_relu, torch.abs),
    "nonzero": (torch.positive,),
}

seeds = st.integers(0, 2**31)
any_group = st.sampled_from(GROUPS)


@st.composite
def specs(draw: DrawFn, groups: Sequence[ScaleName] = GROUPS, max_hidden: int = 3, max_width: int = 6) -> SymmetrySpec:
    """A feed-forward spec: any groups, widths and biases, kernels, flattened maps, skip weights, lone scalars."""
    sizes = st.integers(1, max_width)
    hidden = draw(st.lists(st.sampled_from(groups), min_size=1, max_size=max_hidden))
    names = ["in", *(f"h{index}" for index in range(len(hidden))), "out"]
    spaces = _space_lines(names, [draw(sizes) for _ in names], hidden)
    params = ["omega"] if draw(st.booleans()) else []
    for index, (source, target) in enumerate(pairwise(names)):
        form = draw(st.sampled_from(["{t} {s}~", "{t} {s}~", "{t} {s}~ .3 .2", "{t} {s}*4~", "{t}*2 {s}~"]))
        params.append(f"layers.{index}.weight {form.format(t=target, s=source)}")
        if draw(st.booleans()):
            params.append(f"layers.{index}.bias {target}{'*2' if '*2' in form else ''}")
    if len(hidden) > 1 and draw(st.booleans()):
        params.append(f"skip.weight {draw(st.sampled_from(names[2:]))} {draw(st.sampled_from(names[:2]))}~")
    return _parse([*spaces, "", *params])


def _parse(lines: list[str]) -> SymmetrySpec:
    # The type checker draws the items it looks at from `random`, whose state a strategy must leave alone.
    state = random.getstate()
    try:
        return parse("\n".join(lines))
    finally:
        random.setstate(state)


def _space_lines(names: list[str], sizes: list[int], hidden: list[ScaleName]) -> list[str]:
    words = ["fixed", *("" if group == "trivial" else group for group in hidden), "fixed"]
    return [f"{name}[{size}] {word}" for name, size, word in zip(names, sizes, words, strict=True)]


@dataclass(frozen=True)
class Case:
    """A network, its symmetry and inputs that exercise it."""

    module: nn.Module
    spec: SymmetrySpec
    example: Tensor

    def to(self, dtype: torch.dtype) -> "Case":
        return Case(self.module.to(dtype), self.spec, self.example.to(dtype))


class Chain(nn.Module):
    """Layers with an activation between each two; convolutions first, then a flattening, then linear layers."""

    def __init__(self, layers: list[nn.Module], activations: list[Activation]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.activations = activations

    def forward(self, x: Tensor) -> Tensor:
        for layer, activation in zip(self.layers, [*self.activations, torch.positive], strict=True):
            x = x.flatten(1) if isinstance(layer, nn.Linear) else x
            x = activation(layer(x))
        return x


@st.composite
def mlps(draw: DrawFn, groups: Sequence[ScaleName] = GROUPS) -> Case:
    """An MLP of one to three hidden layers with activations of any groups, with and without biases (float64)."""
    hidden = draw(st.lists(st.sampled_from(groups), min_size=1, max_size=3))
    widths = [draw(st.integers(1, 6)) for _ in range(len(hidden) + 2)]
    torch.manual_seed(draw(seeds))
    layers: list[nn.Module] = [nn.Linear(a, b, bias=draw(st.booleans())) for a, b in pairwise(widths)]
    return _case(layers, hidden, [""] * len(layers), (8, widths[0]), draw)


@st.composite
def cnns(draw: DrawFn, groups: Sequence[ScaleName] = GROUPS) -> Case:
    """Two convolutions, flatten, two linear layers (float64)."""
    hidden = [draw(st.sampled_from(groups)) for _ in range(3)]
    a, b, c, d, e = (draw(st.integers(1, 4)) for _ in range(5))
    bias = [draw(st.booleans()) for _ in range(4)]
    torch.manual_seed(draw(seeds))
    layers: list[nn.Module] = [
        nn.Conv2d(a, b, 3, padding=1, bias=bias[0]),
        nn.Conv2d(b, c, (3, 2), stride=2, bias=bias[1]),
        nn.Linear(4 * c, d, bias=bias[2]),
        nn.Linear(d, e, bias=bias[3]),
    ]
    return _case(layers, hidden, [" .3 .3", " .3 .2", "*4", ""], (3, a, 5, 5), draw)


def _case(layers: list, hidden: list[ScaleName], forms: list[str], shape: tuple[int, ...], draw: DrawFn) -> Case:
    names = ["in", *(f"h{index}" for index in range(len(hidden))), "out"]
    sizes = [layers[0].weight.shape[1], *(layer.weight.shape[0] for layer in layers)]
    lines = [*_space_lines(names, sizes, hidden), ""]
    for index, (layer, form) in enumerate(zip(layers, forms, strict=True)):
        repeat, kernel = (form, "") if form.startswith("*") else ("", form)
        lines.append(f"layers.{index}.weight {names[index + 1]} {names[index]}{repeat}~{kernel}")
        if layer.bias is not None:
            lines.append(f"layers.{index}.bias {names[index + 1]}")
    activations = [draw(st.sampled_from(ACTIVATIONS[group])) for group in hidden]
    return Case(Chain(layers, activations).double(), _parse(lines), torch.randn(shape).double())


def networks(groups: Sequence[ScaleName] = GROUPS) -> SearchStrategy[Case]:
    """MLPs and small CNNs."""
    return mlps(groups) | cnns(groups)
