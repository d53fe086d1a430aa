"""Networks with bound permutations, normalization above all, as networks of weights and biases alone.

Every field is a space of its own, and where several belong to one permutation, numbers join them: diagonal matrices,
which is what a normalization layer is (a dense layer that is zero off its diagonal; Lim et al. 2024, arXiv:2312.04501),
and the lengths of what arrives at or leaves a neuron in one field, told to the field without signs. The spec of such
networks lets the spaces permute apart from each other, so it has more symmetries than the one it is made of, and what
respects them all respects those; a network with one field permuted alone is another network, whose joining numbers
stand elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import final

import torch
from torch import Tensor, nn

from .._errors import SpecError
from .._types import Params
from ..gauge import safe_norm
from ..spec import SymmetrySpec, parse
from ._blocks import Block
from ._matrices import MatrixView
from ._pieces import Field


@final
@dataclass(frozen=True)
class Diagonal:
    """Numbers of neurons as a diagonal matrix from one of their fields to another."""

    name: str
    source: Field
    target: Field
    blocks: tuple[int, ...]


@final
class PlainView(nn.Module):
    """Stacked networks without positive scales as networks of a spec that :func:`weightspace.spec.layout` reads.

    Args:
        spec: Architecture of the networks.

    Attributes:
        plain: Architecture of what they are read as.

    Raises:
        SpecError: for a parameter that is more than a matrix, numbers of neurons, or plain numbers, by name.
    """

    def __init__(self, spec: SymmetrySpec) -> None:
        super().__init__()
        self.view = MatrixView(spec)
        self.spec = spec
        blocks = list(enumerate(self.view.blocks))
        for _, block in blocks:
            _check(block, spec)
        self.names = {place: f"p{place}" for place, block in blocks if block.ends}
        self.owned = {
            field: tuple(place for place, block in blocks if block.ends == (field,)) for field in self.view.fields
        }
        self.diagonals = self._diagonals()
        self.lengths = self._lengths()
        self.plain = parse(self._text())

    def forward(self, params: Mapping[str, Tensor]) -> Params:
        """The same networks, as the plain spec has them."""
        values = self.view(params)
        found = {name: _entries(values[place], self.view.blocks[place]) for place, name in self.names.items()}
        for one in self.diagonals:
            joined = torch.cat([found[self.names[place]] for place in one.blocks], -1)
            found[one.name] = torch.diag_embed(joined.mT, dim1=1, dim2=2)
        for name, (_, ends) in self.lengths.items():
            rows = [found[self.names[place]].movedim(end + 1, 1).flatten(2) for place, end in ends]
            found[name] = torch.stack([safe_norm(row) / row.shape[2] ** 0.5 for row in rows], -1)
        return found

    def write(self, change: Mapping[str, Tensor]) -> Params:
        """Changes of the plain networks as changes of those that they were read from."""
        some = next(iter(change.values()))
        found = {place: change[name] for place, name in self.names.items()}
        for one in self.diagonals:
            widths = [self.view.blocks[place].taps for place in one.blocks]
            parts = torch.diagonal(change[one.name], dim1=1, dim2=2).mT.split(widths, -1)
            for place, part in zip(one.blocks, parts, strict=True):
                found[place] = found[place] + part
        values = [
            found.get(place, some.new_zeros(len(some), block.taps)).reshape(len(some), *block.shape())
            for place, block in enumerate(self.view.blocks)
        ]
        return self.view.write(values)

    def _diagonals(self) -> list[Diagonal]:
        """Between any two fields of a permutation the numbers that have the signs of both."""
        found: list[Diagonal] = []
        for target, source in combinations(sorted(self.view.fields), 2):
            between = source.times(target.signs)
            if target.root == source.root and self.owned.get(between):
                found.append(Diagonal(f"d{len(found)}", source, target, self.owned[between]))
        return found

    def _lengths(self) -> dict[str, tuple[Field, list[tuple[int, int]]]]:
        """By permutation with several fields, the one without signs (added, if there is none) and ends of others."""
        found = {}
        for root in dict.fromkeys(field.root for field in self.view.fields):
            others = [field for field in self.view.fields if field.root == root and field.signs]
            if sum(field.root == root for field in self.view.fields) < 2:
                continue
            places = [
                (place, end)
                for place, block in enumerate(self.view.blocks)
                for end, field in enumerate(block.ends)
                if field in others and len(block.ends) == 2
            ]
            if places:
                found[f"l{len(found)}"] = Field(root), places
        return found

    def _text(self) -> str:
        fields = dict.fromkeys([*self.view.fields, *(field for field, _ in self.lengths.values())])
        spaces = {field: f"s{number}" for number, field in enumerate(fields)}
        lines = []
        for field, name in spaces.items():
            space = self.spec.space[field.root]
            lines.append(f"{name}[{space.size}]{' fixed' if space.fixed else ''}{' sign' if field.signs else ''}")
        lines.append("")
        for place, name in self.names.items():
            block = self.view.blocks[place]
            ends = [spaces[end] + "~" * number for number, end in enumerate(block.ends)]
            lines.append(f"{name} {' '.join(ends)} .{block.taps}")
        for one in self.diagonals:
            taps = sum(self.view.blocks[place].taps for place in one.blocks)
            lines.append(f"{one.name} {spaces[one.target]} {spaces[one.source]}~ .{taps}")
        lines += [f"{name} {spaces[field]} .{len(ends)}" for name, (field, ends) in self.lengths.items()]
        return "\n".join(lines)


def _entries(value: Tensor, block: Block) -> Tensor:
    """A block with its offset, without the axis of groups."""
    value = value + block.offset if block.offset else value
    return value.squeeze(1) if len(block.ends) == 2 else value


def _check(block: Block, spec: SymmetrySpec) -> None:
    bound = [end.root for end in block.ends if spec.space[end.root].within or spec.space[end.root].along]
    if block.groups > 1 or bound:
        raise SpecError(
            f"parameter {block.name!r} is not read as weights and biases between neurons that are permuted freely: it "
            f"has groups or heads{f' ({bound[0]})' if bound else ''}. Pin its spaces: write them as fixed in the spec."
        )
    if len(block.ends) > 2:
        ends = ", ".join(repr(end.root) for end in block.ends)
        raise SpecError(f"parameter {block.name!r} joins more than two spaces ({ends}), which is no matrix.")
    if block.odd:
        raise SpecError(
            f"parameter {block.name!r} moves as a whole with the sign of {block.odd[0]!r}, which has one neuron. Pin "
            "that space: write it as fixed in the spec."
        )
