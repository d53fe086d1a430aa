"""States of round 0: learned vectors of units and layers, and the numbers of a neuron (bias, gain, statistics)."""

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...view import Field
from .._equivariant import Mlp
from ._nodes import Nodes
from ._reading import Reader, Reading


@final
class Start(nn.Module):
    """States of all rows, and the context: what the whole network says, alike for all neurons.

    Where nothing flips signs a state is the sum of a learned vector (one for every unit with a name, else one for the
    layer) and a map of the neuron's numbers; elsewhere the map times the vector.

    Args:
        nodes: Fields of the networks.
        reader: What is read of them.
        width: Channels.
        extra: Number of further features of every neuron, by field, and of further numbers for the context.
    """

    def __init__(
        self, nodes: Nodes, reader: Reader, width: int, extra: tuple[Mapping[Field, int], int] = ({}, 0)
    ) -> None:
        super().__init__()
        self.nodes = nodes
        num = [reader.num_features.get(field, 0) + extra[0].get(field, 0) for field in nodes.fields]
        self.maps = nn.ModuleDict({str(k): nn.Linear(size, width, bias=False) for k, size in enumerate(num) if size})
        for one in self.maps.parameters():
            nn.init.normal_(one, std=one.shape[1] ** -0.5)
        self.units = nn.Parameter(torch.randn(nodes.num_units, width))
        self.numbers = Mlp(reader.num_context + extra[1], width, width)

    def forward(
        self, reading: Reading, extra: tuple[Mapping[Field, Tensor], Tensor] | None = None
    ) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b c"]]:
        """States and context, with further features by field and further numbers."""
        num, numbers, more = len(reading.context), reading.context, {}
        if extra is not None:
            more, numbers = extra[0], torch.cat([reading.context, extra[1]], 1)
        # Logarithms of one architecture differ little between networks; the factor makes up for the maps' small start.
        context = nn.functional.silu(4 * self.numbers(numbers))
        parts = []
        for number, field in enumerate(self.nodes.fields):
            own = [part for part in (reading.features.get(field), more.get(field)) if part is not None]
            if own:
                parts.append(self.maps[str(number)](own[0] if len(own) == 1 else torch.cat(own, -1)))
            else:
                parts.append(self.units.new_zeros(num, self.nodes.rows[field][1], self.units.shape[1]))
        x, units = torch.cat(parts, 1), self.units[self.nodes.unit_of]
        # The context waits for the rounds: added here it drowns the names of units, and operators hardly learn.
        plain = x + units
        return (torch.where(self.nodes.signed, x * units, plain) if self.nodes.any_signed else plain), context
