"""The numbering of node states: which rows of one tensor ``[b, N, c]`` belong to which field, and what joins them.

A *field* is a permutation with a sign (:class:`weightspace.view.Field`). Every permutation has one *hub*, where even
things are told: its field without signs, or its only field with one, read by magnitudes. Hubs come first. Blocks of
the parameters join fields (*arcs*), and spaces that lie within or along others join hubs (*links*).
"""

from dataclasses import dataclass
from math import prod
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..._errors import SpecError
from ...gauge.index import places
from ...view import Block, Field, MatrixView


@final
@dataclass(frozen=True)
class Arc:
    """A block with the fields that it joins, its target first; an odd block joins a second pair."""

    block: int
    ends: tuple[Field, ...]
    second: bool = False


@final
@dataclass(frozen=True)
class Link:
    """A field whose neurons each belong to a neuron of another one: heads and their coordinates."""

    child: Field
    parent: Field
    table: int
    even: bool


@final
class Nodes(nn.Module):
    """Rows of fields, arcs and links of a spec; index tables and no weights.

    Attributes:
        fields: In the order of their rows, hubs first.
        rows: First row and number of rows by field.
        num: Number of rows, and of hubs' rows.
        arcs: Fields that blocks join.
        links: Fields that lie within or along each other.

    Raises:
        SpecError: if no parameter belongs to neurons.
    """

    signed: Tensor
    unsigned: Tensor
    slope: Tensor
    field_of: Tensor
    unit_of: Tensor
    hub_of: Tensor

    def __init__(self, view: MatrixView) -> None:
        super().__init__()
        self.spec = view.spec
        if not any(len(block.ends) > 1 for block in view.blocks):
            raise SpecError(
                f"the architecture {self.spec} has no weight between two neuron spaces, so there is nothing to read. "
                "Pinned layers leave none: see print(ws.to_text(spec))."
            )
        self.arcs = [arc for place, block in enumerate(view.blocks) for arc in _arcs(place, block)]
        self.homes = {
            place: block.ends[0].times(block.odd) for place, block in enumerate(view.blocks) if len(block.ends) == 1
        }
        found = dict.fromkeys([*(end for arc in self.arcs for end in arc.ends), *self.homes.values()])
        roots = list(dict.fromkeys(field.root for field in found))
        for root in roots:  # grows: what lies around a space may own no parameter
            roots += [other for other in self._around(root) if other not in roots]
        hubs = {root: self._hub(root, [field for field in found if field.root == root]) for root in roots}
        self.hubs = hubs
        self.fields = (*hubs.values(), *(field for field in found if field not in hubs.values()))
        self.rows: dict[Field, tuple[int, int]] = {}
        total = 0
        for field in self.fields:
            size = self.spec.space[field.root].size
            self.rows[field] = total, size
            total += size
        self.num = total, sum(self.spec.space[root].size for root in roots)
        self._number()
        self.links = [link for root in roots for link in self._links(root)]

    def split(self, x: Float[Tensor, "b _n _c"]) -> dict[Field, Tensor]:
        """The rows of every field (of hubs alone, if there are no others)."""
        # One split, whose gradient is one tensor: that of a slice for each field would be as many of full size.
        some = [field for field in self.fields if self.rows[field][0] < x.shape[1]]
        return dict(zip(some, x.split([self.rows[field][1] for field in some], 1), strict=True))

    def even(self, x: Float[Tensor, "b n c"], broken: bool = False) -> Float[Tensor, "b n c"]:
        """States without their signs: magnitudes where a sign acts."""
        if broken or not self.any_signed:
            return x
        # A factor that changes only where x changes its sign, and is therefore left out of the gradient.
        return x * torch.maximum(x.detach().sign(), self.slope[: x.shape[1]].to(x.dtype))

    def table(self, link: Link) -> Tensor:
        """For every neuron of the child its parent."""
        return self.get_buffer(f"parent{link.table}")

    def named(self, root: str) -> bool:
        """Whether the neurons have names: no element moves one to the place of another."""
        return not places(self.spec, root, torch.zeros(1, dtype=torch.long))[0]

    def is_output(self, field: Field) -> bool:
        """Whether a field holds units with names that nothing reads further."""
        sources = {end.root for arc in self.arcs for end in arc.ends[1:]}
        return self.spec.space[field.root].fixed and field.root not in sources

    def _hub(self, root: str, fields: list[Field]) -> Field:
        plain = Field(root)
        return fields[0] if len(fields) == 1 and plain not in fields else plain

    def _number(self) -> None:
        """Tables by row: the field, whether a sign acts, the learned vector, and the hub of rows that are none."""
        kinds, units, hubs, signed, count = [], [], [], [], 0
        for number, field in enumerate(self.fields):
            start, size = self.rows[field]
            kinds.append(torch.full((size,), number))
            named = self.named(field.root)
            units.append(torch.arange(size) + count if named else torch.full((size,), count))
            count += size if named else 1
            signed.append(torch.full((size,), bool(field.signs)))
            if start >= self.num[1]:
                hubs.append(torch.arange(size) + self.rows[self.hubs[field.root]][0])
        self.num_units = count
        self.any_signed = any(field.signs for field in self.fields)
        self.register_buffer("field_of", torch.cat(kinds), persistent=False)
        self.register_buffer("unit_of", torch.cat(units), persistent=False)
        self.register_buffer("signed", torch.cat(signed).unsqueeze(-1), persistent=False)
        self.register_buffer("slope", 1.0 - 2.0 * self.signed.float(), persistent=False)
        self.register_buffer("unsigned", 1.0 - self.signed.float(), persistent=False)
        empty = torch.zeros(0, dtype=torch.long)
        self.register_buffer("hub_of", torch.cat(hubs) if hubs else empty, persistent=False)

    def _around(self, root: str) -> list[str]:
        space = self.spec.space[root]
        return [self.spec.root(name) for name in (space.within, space.along) if name is not None]

    def _links(self, root: str) -> list[Link]:
        """The links of a space with those around it; where both have one sign, it is told as well."""
        space, found = self.spec.space[root], []
        for around in self._around(root):
            neuron = torch.arange(space.size)
            size = self.spec.space[around].size
            parent = neuron // (space.size // size)
            if space.within is None or around != self.spec.root(space.within):
                assert space.within is not None, "checked by the spec"
                block = self.spec.space[space.within].size
                inside = space.size // block
                parent = neuron // inside // (space.size // size) * inside + neuron % inside
            number = sum(1 for name, _ in self.named_buffers() if name.startswith("parent"))
            self.register_buffer(f"parent{number}", parent, persistent=False)
            found.append(Link(self.hubs[root], self.hubs[around], number, True))
            if around == self.spec.root(space.within or ""):
                both = [f for f in self.fields if f.root == root and f.signs and Field(around, f.signs) in self.rows]
                found += [Link(field, Field(around, field.signs), number, False) for field in both]
        return found


def _arcs(place: int, block: Block) -> list[Arc]:
    if len(block.ends) < 2:
        return []
    if not block.odd:
        return [Arc(place, block.ends)]
    # The sign of the whole block may be that of either end's state.
    first, second, *rest = block.ends
    return [
        Arc(place, (first.times(block.odd), second, *rest)),
        Arc(place, (first, second.times(block.odd), *rest), second=True),
    ]


def fan(block: Block, end: int) -> int:
    """Number of entries that arrive at a neuron of an end."""
    shape = block.shape()
    if len(block.ends) == 2:
        return shape[-1] * (shape[2] if end == 0 else shape[1])
    return prod(shape) // shape[end]
