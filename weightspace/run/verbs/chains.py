"""Networks that are chains of linear layers, as modules made from the shapes in a file and an activation.

Weights do not show their activation; the rest of such a network they do: which layer reads which follows from names
and widths. Several chains on one input (a policy and a value of an agent) are one network.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..._errors import SpecMismatch
from ...files.checkpoint import open_checkpoint
from ...zoo import activation_function

Shape = tuple[int, ...]


@final
class Chains(nn.Module):
    """Chains of linear layers on one input, one activation between layers, outputs side by side."""

    def __init__(self, chains: Sequence[Sequence[str]], shapes: Mapping[str, Shape], activation: str) -> None:
        super().__init__()
        self.function = activation_function(activation)
        self.chains = [[self._linear(stem, shapes) for stem in chain] for chain in chains]
        self.inputs = shapes[f"{chains[0][0]}.weight"][1]

    def _linear(self, stem: str, shapes: Mapping[str, Shape]) -> nn.Linear:
        """A layer under its name in the file."""
        *outer, last = stem.split(".")
        owner: nn.Module = self
        for word in outer:
            if word not in dict(owner.named_children()):
                owner.add_module(word, nn.Module())
            owner = owner.get_submodule(word)
        wide, narrow = shapes[f"{stem}.weight"]
        layer = nn.Linear(narrow, wide, bias=f"{stem}.bias" in shapes)
        owner.add_module(last, layer)
        return layer

    def forward(self, x: Float[Tensor, "p i"]) -> Float[Tensor, "p o"]:
        """The outputs of all chains."""
        outputs = []
        for *hidden, last in self.chains:
            y = x
            for layer in hidden:
                y = self.function(layer(y))
            outputs.append(last(y))
        return torch.cat(outputs, -1)


def chains_in(path: Path, activation: str) -> tuple[Chains, Float[Tensor, "p i"]]:
    """The module of the network in a file, with the given activation between its layers, and an example of its input.

    Raises:
        ConfigError: if the file cannot be read.
        SpecMismatch: if it holds something other than chains of linear layers.
    """
    shapes = open_checkpoint(path).shapes
    stems = [name.removesuffix(".weight") for name, shape in shapes.items() if name.endswith(".weight")]
    linear = {name for stem in stems if len(shapes[f"{stem}.weight"]) == 2 for name in _of(stem, shapes)}
    strange = [name for name in shapes if name not in linear]
    if strange or any("" in stem.split(".") for stem in stems):
        name = strange[0] if strange else stems[0]
        raise SpecMismatch(
            f"{path} is no chain of linear layers: {name!r} is {list(shapes[name])}. Name the architecture with "
            "--model PACKAGE.MODULE:FACTORY instead of --activation."
        )
    chains = _chained(path, stems, shapes)
    module = Chains(chains, shapes, activation)
    return module, torch.zeros(2, module.inputs)


def _of(stem: str, shapes: Mapping[str, Shape]) -> list[str]:
    wide = shapes[f"{stem}.weight"][0]
    return [f"{stem}.weight", *([f"{stem}.bias"] if shapes.get(f"{stem}.bias") == (wide,) else [])]


def _chained(path: Path, stems: Sequence[str], shapes: Mapping[str, Shape]) -> list[list[str]]:
    """Layers in the order of the computation, chain by chain."""
    widths = {stem: shapes[f"{stem}.weight"] for stem in stems}
    groups: dict[str, list[str]] = {}
    for stem in stems:
        groups.setdefault(stem.rpartition(".")[0], []).append(stem)
    bodies: dict[str, list[str]] = {}
    heads: list[str] = []
    for name, group in groups.items():
        layers = sorted(group, key=_number)
        fits = all(widths[one][0] == widths[other][1] for one, other in pairwise(layers))
        # A single layer beside others reads what they give.
        if fits and (len(layers) > 1 or len(stems) == 1):
            bodies[name] = layers
        else:
            heads += layers
    # A head with the name of a chain belongs to it (value_net); the others take what is left.
    heads.sort(key=lambda head: _last(head) not in map(_last, bodies))
    open_bodies = dict(bodies)
    for head in heads:
        fitting = [name for name, layers in open_bodies.items() if widths[layers[-1]][0] == widths[head][1]]
        named = [name for name in fitting if _last(name) == _last(head)]
        chosen = named or fitting
        if len(chosen) != 1:
            raise SpecMismatch(
                f"{path}: names and widths do not say what {head!r} {list(widths[head])} reads. Name the architecture "
                "with --model PACKAGE.MODULE:FACTORY instead of --activation."
            )
        bodies[chosen[0]] = [*open_bodies.pop(chosen[0]), head]
    if len({widths[layers[0]][1] for layers in bodies.values()}) != 1:
        raise SpecMismatch(
            f"{path} holds chains with inputs of different sizes. Name the architecture with --model "
            "PACKAGE.MODULE:FACTORY instead of --activation."
        )
    return list(bodies.values())


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _number(stem: str) -> tuple[int, str]:
    found = re.search(r"\d+$", stem)
    return (int(found[0]) if found else -1, "")
