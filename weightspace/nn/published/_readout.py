"""Published read-outs: a vector from the last layer or from all vertices, or changes of the parameters."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...spec import ScaleName
from ._chain import Chain
from ._parts import gates, mlp
from ._presets import Preset
from ._state import ChainState


@final
class LastLayer(nn.Module):
    """An MLP of the output vertices; bidirectional models add the input vertices, each side mapped linearly first."""

    def __init__(self, preset: Preset, chain: Chain) -> None:
        super().__init__()
        d, ends = preset.width, (chain.sizes[0], chain.sizes[-1])
        self.both = preset.direction == "bidirectional"
        if self.both:
            self.inputs = nn.Linear(ends[0] * d, d)
            self.outputs = nn.Linear(ends[1] * d, d)
        self.mlp = mlp(preset, 2 * d if self.both else ends[1] * d, preset.out)

    def reads(self, num_layers: int) -> frozenset[int]:
        """The layers that are read."""
        return frozenset({0, num_layers - 1} if self.both else {num_layers - 1})

    def forward(self, state: ChainState, _: ScaleName) -> Float[Tensor, "b o"]:
        first, *_middle, last = state.nodes
        x = _present(last).flatten(1)
        if self.both:
            x = torch.cat([self.outputs(x), self.inputs(_present(first).flatten(1))], -1)
        return self.mlp(x)


@final
class FullGraph(nn.Module):
    """An MLP of the summed invariants of all hidden vertices and the states of inputs and outputs."""

    def __init__(self, preset: Preset, chain: Chain) -> None:
        super().__init__()
        self.pools = gates(preset, preset.width)
        self.mlp = mlp(preset, (1 + chain.sizes[0] + chain.sizes[-1]) * preset.width, preset.out)

    def reads(self, num_layers: int) -> frozenset[int]:
        """The layers that are read."""
        return frozenset(range(num_layers))

    def forward(self, state: ChainState, group: ScaleName) -> Float[Tensor, "b o"]:
        first, *middle, last = (_present(x) for x in state.nodes)
        pooled = self.pools[group].total(torch.cat(middle, 1), 1)  # pyright: ignore[reportCallIssue]
        return self.mlp(torch.cat([pooled, first.flatten(1), last.flatten(1)], -1))


@final
class PlainFullGraph(nn.Module):
    """An MLP of the sum over all vertices of an MLP: the baseline's."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.local = mlp(preset, preset.width)
        self.mlp = mlp(preset, preset.width, preset.out)

    def reads(self, num_layers: int) -> frozenset[int]:
        """The layers that are read."""
        return frozenset(range(num_layers))

    def forward(self, state: ChainState, _: ScaleName) -> Float[Tensor, "b o"]:
        return self.mlp(self.local.total(torch.cat([_present(x) for x in state.nodes], 1), 1))


@final
class Steps(nn.Module):
    """Changes of weights and biases: last states times one learned number per layer, which starts at 0.01."""

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((len(chain.weights),), 0.01))
        self.biases = nn.Parameter(torch.full((len(chain.weights),), 0.01))

    def reads(self, num_layers: int) -> frozenset[int]:
        """The layers that are read: inputs have no parameters."""
        return frozenset(range(1, num_layers))

    def forward(self, state: ChainState) -> tuple[list[Tensor], list[Tensor]]:
        biases = [_present(x) * step for x, step in zip(state.nodes[1:], self.biases, strict=True)]
        kernels = {w: e for one in state.edges["ahead"] for w, e in zip(one.weights, one.kernels(), strict=True)}
        return biases, [kernels[number] * step for number, step in enumerate(self.weights)]


def _present(x: Tensor | None) -> Tensor:
    assert x is not None
    return x
