"""What the tests of metanetworks share: every choice of method, usual architectures, awkward networks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product

import torch
from hypothesis import strategies as st
from torch import Tensor

from weightspace.gauge import Element, act, inverse, sample
from weightspace.nn import EquivariantOperator, InvariantFunctional
from weightspace.nn._invariant import SignInvariant
from weightspace.nn.scale._models import PositiveMethod
from weightspace.nn.scale._rounds import Direction
from weightspace.spec import ScaleName, SymmetrySpec, parse
from weightspace.testing import random_params

Params = dict[str, Tensor]
Metanet = InvariantFunctional | EquivariantOperator


@dataclass(frozen=True)
class Choice:
    """Options of a metanetwork."""

    direction: Direction = "bidirectional"
    sign: SignInvariant = "absolute"
    positive: PositiveMethod = "normal_form"


EVERY_CHOICE = [
    Choice(*choice)
    for choice in product(("forward", "bidirectional"), ("absolute", "symmetrized"), ("normal_form", "blocks"))
]
HALF_THE_CHOICES = [EVERY_CHOICE[place] for place in (0, 3, 5, 6)]
"""Of every two options all four pairs: for tests that vary much else."""
choices = st.sampled_from(EVERY_CHOICE)
BOTH = (InvariantFunctional, EquivariantOperator)


def build(
    model: type[Metanet],
    spec: SymmetrySpec,
    choice: Choice | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    width: int = 12,
    rounds: int = 3,
    symmetry_broken: bool = False,
) -> Metanet:
    """A metanetwork with the weights of ``seed``; functionals have two outputs."""
    torch.manual_seed(seed)
    options = asdict(choice or Choice()) | {"rounds": rounds, "symmetry_broken": symmetry_broken}
    if model is InvariantFunctional:
        options["out"] = 2
    return model(spec, width, **options).to(dtype)


MLP = """
in[4] fixed
h0[6] {0}
h1[5] {1}
out[3] fixed

layers.0.weight h0 in~
layers.0.bias h0
layers.1.weight h1 h0~
layers.1.bias h1
layers.2.weight out h1~
layers.2.bias out
"""
CNN = """
in[2] fixed
h0[4] {0}
h1[5] {1}
h2[4] {1}
out[3] fixed

omega
layers.0.weight h0 in~ .3 .3
layers.0.bias h0
layers.1.weight h1 h0~ .3 .2
layers.2.weight h2 h1*4~
layers.2.bias h2
layers.3.weight out h2~
"""


def mlp(first: ScaleName, second: ScaleName | None = None) -> SymmetrySpec:
    """A 4-6-5-3 MLP with these groups."""
    return parse(MLP.format(*(group.replace("trivial", "") for group in (first, second or first))))


def cnn(first: ScaleName, second: ScaleName | None = None) -> SymmetrySpec:
    """Two convolutions, flatten, two linear layers with these groups."""
    return parse(CNN.format(*(group.replace("trivial", "") for group in (first, second or first))))


USUAL = {
    "permutation": mlp("trivial"),
    "sign": mlp("sign"),
    "positive": mlp("positive"),
    "nonzero": mlp("nonzero"),
    "mixed": mlp("positive", "sign"),
    "cnn-sign": cnn("sign", "trivial"),
    "cnn-positive": cnn("positive", "nonzero"),
}


def regroup(spec: SymmetrySpec, groups: Mapping[ScaleName, ScaleName]) -> SymmetrySpec:
    """The same architecture with other scale groups: one that a model is not built for."""
    spaces = tuple(replace(space, scale=groups.get(space.scale, space.scale)) for space in spec.spaces)
    return replace(spec, spaces=spaces)


def double(spec: SymmetrySpec, num: int, seed: int = 0) -> Params:
    """Random stacked networks, float64."""
    return random_params(spec, num, seed=seed, dtype=torch.float64)


def row(params: Mapping[str, Tensor], index: int) -> Params:
    """One network of a stack, as a stack."""
    return {name: value[index : index + 1] for name, value in params.items()}


def awkward(spec: SymmetrySpec, dtype: torch.dtype) -> Params:
    """A stack of networks on which divisions go wrong: zero, tiny and huge weights, dead and mute neurons."""
    rows = [_filled(spec, dtype, weight, bias) for weight in (0.0, 1e-15, 1.0) for bias in (0.0, 1e-15, 1.0)]
    rows.append(_filled(spec, dtype, 1.0, 1e15))
    first, second, *_, last = [name for name in spec.axes if name.endswith("weight")]
    for name, factor in ((first, 1e15), (second, 1e15), (last, 1e15), (second, 0.0), (last, 1e-15)):
        network = _filled(spec, dtype, 1.0, 1.0)
        network[name] *= factor
        rows.append(network)
    dead = _filled(spec, dtype, 1.0, 1.0)
    dead[first][:, 0] = 0.0
    dead[first.replace("weight", "bias")][:, 0] = 0.0
    mute = _filled(spec, dtype, 1.0, 1.0)
    mute[second][:, :, :2] = 0.0
    cut_off = _filled(spec, dtype, 1.0, 0.0)
    cut_off[first][:] = 0.0
    rows += [dead, mute, cut_off]
    return {name: torch.cat([network[name] for network in rows]) for name in spec.axes}


def pulled_back_error(model: EquivariantOperator, spec: SymmetrySpec, params: Params, element: Element) -> Tensor:
    """Per network and tensor ``[t, b]``: error of the changes in the first gauge, relative to the largest change."""
    with torch.no_grad():
        want = model.delta(params)
        have = act(inverse(element), model.delta(act(element, params, spec)), spec)
    return torch.stack([_relative(have[name], want[name]) for name in spec.axes])


def gauges(spec: SymmetrySpec, num: int, seed: int = 0) -> Element:
    """Random elements with scales in [1/64, 64]."""
    return sample(spec, seed, num=num, max_scale=64.0)


def _relative(have: Tensor, want: Tensor) -> Tensor:
    error, size = ((value.reshape(len(value), -1)).abs().amax(1) for value in (have - want, want))
    return torch.where(size > 0, error / size.where(size > 0, 1.0), error)


def _filled(spec: SymmetrySpec, dtype: torch.dtype, weight: float, bias: float) -> Params:
    params = random_params(spec, 1, dtype=dtype)
    return {name: value * (bias if name.endswith("bias") else weight) for name, value in params.items()}
