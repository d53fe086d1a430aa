"""Feed-forward networks as the published models read them: a chain of layers, counted from the inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..._errors import ConfigError, SpecError
from ..._types import Params
from ...spec import SymmetrySpec, Weight, layout, parse
from ...view import DenseView, view
from ._presets import Preset


@final
@dataclass(frozen=True)
class Chain:
    """The layers of a feed-forward architecture.

    Attributes:
        spec: The architecture.
        spaces: Names of its neuron spaces, inputs first.
        sizes: Their numbers of neurons.
        weights: The weight from each layer to the next.
        kernel: Largest number of weights per pair of neurons.
    """

    spec: SymmetrySpec
    spaces: tuple[str, ...]
    sizes: tuple[int, ...]
    weights: tuple[Weight, ...]
    kernel: int

    @property
    def hidden(self) -> range:
        """The hidden layers by number."""
        return range(1, len(self.sizes) - 1)

    def read(self, params: Mapping[str, Tensor]) -> tuple[list[Tensor | None], list[Float[Tensor, "b m n k"]]]:
        """Biases of every layer ``[b, n, 1]`` (``None`` where there are none) and kernels into every layer but the
        first, padded with trailing zeros to a common length."""
        dense = view(params, self.spec)
        kernels = [F.pad(dense.edges[w.name], (0, self.kernel - w.width)) for w in self.weights]
        return [dense.nodes.get(name) for name in self.spaces], kernels

    def write(self, biases: list[Tensor], kernels: list[Tensor], params: Mapping[str, Tensor]) -> Params:
        """The inverse of :meth:`read`, with zeros for parameters that nothing acts on; inputs have no bias here."""
        plan = layout(self.spec)
        nodes = {name: value for name, value in zip(self.spaces[1:], biases, strict=True) if plan.biases_of(name)}
        if plan.biases_of(self.spaces[0]):
            (bias,) = plan.biases_of(self.spaces[0])
            nodes[self.spaces[0]] = params[bias.name].new_zeros(len(params[bias.name]), self.sizes[0], 1)
        edges = {w.name: value[..., : w.width] for w, value in zip(self.weights, kernels, strict=True)}
        rest = {name: params[name].new_zeros(params[name].shape) for name in plan.rest}
        return DenseView(self.spec, nodes, edges, rest).to_params()


def chain(spec: SymmetrySpec) -> Chain:
    """The layers of ``spec``.

    Raises:
        SpecError: if it is not a chain of layers with at least one hidden layer, one weight between neighbours and
            at most one bias number per neuron.
    """
    plan = layout(spec)
    sources = {w.source for w in plan.weights}
    targets = {w.target for w in plan.weights}
    starts = [s.name for s in spec.spaces if s.name not in targets]
    spaces, weights = starts[:1], []
    while spaces and len(plan.out_of(spaces[-1])) == 1 and len(weights) < len(plan.weights):
        (weight,) = plan.out_of(spaces[-1])
        weights.append(weight)
        spaces.append(weight.target)
    fixed = [spec.space[name].fixed for name in spaces]
    straight = len(starts) == 1 and len(weights) == len(plan.weights) and len(set(spaces)) == len(spec.spaces)
    if not straight or len(weights) < 2 or spaces[-1] in sources or fixed != [True, *[False] * (len(fixed) - 2), True]:
        raise SpecError(
            f"the published configurations read feed-forward networks, a chain of layers with at least one hidden "
            f"one; {spec} is not. For other architectures use ws.nn.InvariantFunctional or ws.nn.EquivariantOperator."
        )
    for name in spaces:
        width = sum(bias.width for bias in plan.biases_of(name))
        if width > 1:
            raise SpecError(
                f"the published configurations read one bias per neuron, space {name!r} has {width} numbers. "
                "Use ws.nn.InvariantFunctional or ws.nn.EquivariantOperator."
            )
    sizes = tuple(spec.space[name].size for name in spaces)
    return Chain(spec, tuple(spaces), sizes, tuple(weights), max(w.width for w in weights))


def spec_of(preset: Preset) -> SymmetrySpec:
    """The architecture of a preset's layout: parameters ``layers.0.weight``, ``layers.0.bias``, ..."""
    sizes = preset.layout
    if not all(isinstance(size, Integral) for size in (*sizes, preset.kernel)):
        raise ConfigError(f"layout={sizes}, kernel={preset.kernel!r} are no whole numbers. Give e.g. (2, 32, 32, 1).")
    if preset.kernel < 1:
        raise ConfigError(
            f"kernel={preset.kernel} is too small. Give the side of the convolution kernels, 1 for linear layers."
        )
    if len(sizes) < 3 or min(sizes) < 1:
        raise ConfigError(
            f"layout={sizes} lacks a hidden layer or has an empty one. Give at least (inputs, hidden, outputs)."
        )
    scale = {"sign": " sign", "positive": " positive", "hetero": " positive", "permutation": ""}[preset.group]
    names = ["in", *(f"h{i}" for i in range(len(sizes) - 2)), "out"]
    lines = [f"{names[0]}[{sizes[0]}] fixed"]
    lines += [f"{name}[{size}]{scale}" for name, size in zip(names[1:-1], sizes[1:-1], strict=True)]
    lines += [f"{names[-1]}[{sizes[-1]}] fixed", ""]
    for i, (source, target) in enumerate(pairwise(names)):
        taps = f" .{preset.kernel}" * 2 if preset.kernel > 1 and target != "out" else ""
        lines += [f"layers.{i}.weight {target} {source}~{taps}", f"layers.{i}.bias {target}"]
    return parse("\n".join(lines) + "\n")
