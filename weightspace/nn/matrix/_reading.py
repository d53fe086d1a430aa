"""What a round reads of the networks: matrices, node features and logarithms of units, all in units of their block."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...gauge import reciprocal_or_zero, safe_norm
from ...view import Field, MatrixView
from ._nodes import Nodes

MOST_NUMBERS = 4096
"""Plain numbers of one block that are read one by one; of more (masks, tables of positions) the size alone is."""


@final
@dataclass(frozen=True, eq=False)
class Reading:
    """Numbers of ``b`` networks.

    Attributes:
        values: Blocks in units of their root mean square (numbers of neurons: of the weights that arrive there, if
            these are larger), by place.
        flat: Blocks with two ends as ``[b * groups, m, n * taps]``.
        squares: The same, squared.
        features: By field ``[b, n, k]``.
        unit: These units.
        context: Numbers that nothing acts on.
        still: Blocks of whole numbers, which are never changed.
    """

    values: list[Tensor]
    flat: dict[int, Tensor]
    squares: dict[int, Tensor]
    features: dict[Field, Tensor]
    unit: Float[Tensor, "b k"]
    context: Float[Tensor, "b o"]
    still: frozenset[int]


@final
class Reader(nn.Module):
    """Parameters in normal form to a :class:`Reading`; no weights.

    Args:
        view: Blocks of the networks.
        nodes: Fields of the networks.
        squares: Whether squared weights are read.
        broken: Read numbers with a sign as they are: the control.
    """

    def __init__(self, view: MatrixView, nodes: Nodes, squares: bool, broken: bool) -> None:
        super().__init__()
        self.view, self.nodes = view, nodes
        self.with_squares, self.broken = squares, broken
        blocks = list(enumerate(view.blocks))
        self.numbers = [place for place, block in blocks if not block.ends and block.taps <= MOST_NUMBERS]
        self.num_context = len(view.blocks) + sum(view.blocks[place].taps for place in self.numbers)
        into: dict[str, list[int]] = {}
        for arc in nodes.arcs:
            into.setdefault(arc.ends[0].root, []).append(arc.block)
        self.arriving = {
            place: tuple(into[home.root])
            for place, home in nodes.homes.items()
            if home.root in into and not view.blocks[place].offset
        }
        self.num_features = {
            field: sum(view.blocks[place].taps for place, home in nodes.homes.items() if home == field)
            for field in dict.fromkeys(nodes.homes.values())
        }

    def forward(self, params: Mapping[str, Tensor], dtype: torch.dtype) -> Reading:
        still = {name for name, value in params.items() if not value.is_floating_point()}
        blocks = self.view.blocks
        values = self.view({name: value.to(dtype) if name in still else value for name, value in params.items()})
        values = [value + block.offset if block.offset else value for value, block in zip(values, blocks, strict=True)]
        unit = torch.stack([safe_norm(value.flatten(1)) / block.size**0.5 for value, block in zip(values, blocks)], 1)  # noqa: B905
        numbers = [values[place].flatten(1) for place in self.numbers]
        for k, place in enumerate(self.numbers):
            number = numbers[k]
            size = number.abs().log1p()
            numbers[k] = size if blocks[place].odd and not self.broken else size * number.sign()
        logs = (unit + 1e-3).log().clamp_max(12.0)
        unit = self._of_layers(unit)
        inverse = reciprocal_or_zero(unit)
        values = [value * one.view(-1, *[1] * (value.dim() - 1)) for value, one in zip(values, inverse.unbind(1))]  # noqa: B905
        flat = {place: value.flatten(3).flatten(0, 1) for place, value in enumerate(values) if value.dim() == 5}
        squares = {place: value.square() for place, value in flat.items()} if self.with_squares else {}
        features = {
            field: _join([self._feature(k, values[k]) for k, home in self.nodes.homes.items() if home == field])
            for field in self.num_features
        }
        frozen = frozenset(place for place, block in enumerate(blocks) if block.name in still)
        return Reading(values, flat, squares, features, unit, torch.cat([logs, *numbers], 1), frozen)

    def _of_layers(self, unit: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Units in which numbers of neurons are told: of the weights that arrive there, if these are larger.

        How large a bias is beside the weights of its neuron matters, how large beside the other biases hardly does.
        """
        if not self.arriving:
            return unit
        columns = list(unit.unbind(1))
        for place, arriving in self.arriving.items():
            columns[place] = torch.stack([columns[k] for k in (place, *arriving)], 1).amax(1)
        return torch.stack(columns, 1)

    def _feature(self, place: int, value: Tensor) -> Tensor:
        """Variances tell by their logarithm: of sizes near one another the ratios alone say something."""
        if not self.view.blocks[place].offset:
            return value
        return 2 * value.clamp_min(1e-3).log()


def _join(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.cat(values, -1)
