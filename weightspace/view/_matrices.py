"""Stacked networks of any spec as matrices, node features and numbers, and back, exactly."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from .._types import Params
from ..spec import SymmetrySpec
from ._blocks import Block, blocks
from ._pieces import Field


@final
class MatrixView(nn.Module):
    """Reads stacked parameters as blocks and writes them back; holds index tables and no weights.

    Attributes:
        spec: Architecture of the networks.
        blocks: What every parameter is made of, in the order of the spec.
        fields: Fields at the ends of blocks, each once.

    Raises:
        SpecError: for a parameter that cannot be read as blocks, by name.
    """

    _joint: dict[str, int | None]
    """The axis along which parts are put side by side; none: they are put back by a table."""

    def __init__(self, spec: SymmetrySpec) -> None:
        super().__init__()
        self.spec, self._joint = spec, {}
        by_name = {name: blocks(spec, name) for name in spec.axes}
        self.blocks: tuple[Block, ...] = tuple(block for found in by_name.values() for block in found)
        self.fields: tuple[Field, ...] = tuple(dict.fromkeys(end for block in self.blocks for end in block.ends))
        self._parts = {name: self._number(found) for name, found in by_name.items()}
        for number, name in enumerate(spec.axes):
            self._tables(number, name)

    def forward(self, params: Mapping[str, Tensor]) -> list[Tensor]:
        """Every block as ``[b, *block.shape()]``; entries of no neuron are 0."""
        result = []
        for name in self.spec.axes:
            for place in self._parts[name]:
                block, value = self.blocks[place], params[name]
                if not block.in_order:
                    flat = value.flatten(1) if value.dim() > 1 else value.unsqueeze(1)
                    padded = torch.cat([flat, flat.new_zeros(len(flat), 1)], 1)
                    result.append(padded[:, self._table(f"take{place}")].unflatten(1, block.shape()))
                else:
                    result.append(block.take(value))
        return result

    def write(self, values: list[Tensor]) -> Params:
        """The stacked parameters of blocks: the exact inverse of reading."""
        result = {}
        for number, name in enumerate(self.spec.axes):
            places = self._parts[name]
            dim = self._joint[name]
            if dim is None:
                flat = torch.cat([values[place].flatten(1) for place in places], 1)
                result[name] = flat[:, self._table(f"put{number}")].reshape(len(flat), *self.spec.shape(name))
            else:
                parts = [self.blocks[place].put(values[place]) for place in places]
                result[name] = parts[0] if len(parts) == 1 else torch.cat(parts, dim + 1)
        return result

    def _number(self, found: list[Block]) -> list[int]:
        where = {id(block): place for place, block in enumerate(self.blocks)}
        return [where[id(block)] for block in found]

    def _tables(self, number: int, name: str) -> None:
        """Index tables where slices will not do."""
        members = [self.blocks[place] for place in self._parts[name]]
        several = [dim for dim in range(len(self.spec.axes[name])) if len({m.pieces[dim].start for m in members}) > 1]
        if all(block.in_order for block in members) and len(several) <= 1:
            self._joint[name] = several[0] if several else 0
            return
        self._joint[name] = None
        shape, total = self.spec.shape(name), 0
        entries = torch.arange(int(torch.Size(shape).numel())).reshape(shape)
        back = torch.empty(entries.numel(), dtype=torch.long)
        for place in self._parts[name]:
            block = self.blocks[place]
            taken = self._take(entries, block).flatten()
            back[taken[taken >= 0]] = (torch.arange(len(taken)) + total)[taken >= 0]
            total += len(taken)
            if not block.in_order:
                # -1 would be the last entry; the zero stands one past it.
                self.register_buffer(f"take{place}", torch.where(taken < 0, entries.numel(), taken), persistent=False)
        self.register_buffer(f"put{number}", back, persistent=False)

    def _take(self, entries: Tensor, block: Block) -> Tensor:
        for dim, piece in enumerate(block.pieces):
            if piece.index is None:
                entries = entries.narrow(dim, piece.start, piece.length)
            else:
                index = torch.tensor(piece.index)
                missing = (index < 0).reshape([-1 if other == dim else 1 for other in range(entries.dim())])
                entries = entries.index_select(dim, index.clamp_min(0)).masked_fill(missing, -1)
        sizes, order = block.split()
        return entries.reshape(1, *sizes).permute(order).reshape(1, *block.shape())

    def _table(self, name: str) -> Tensor:
        return self.get_buffer(name)
