"""One round: messages along all weights, then one map of every neuron's state, shared by all layers."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...view import MatrixView
from ._messages import Direction, Messages
from ._nodes import Nodes
from ._reading import Reading


@final
class SoftNorm(nn.Module):
    """``x`` over its root mean square, which is bounded below: states near 0 stay near 0, with all their signs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return x * (x.square().mean(-1, keepdim=True) + 0.1).rsqrt() * self.gain


@final
class Round(nn.Module):
    """``norm(x + (Lin y) * (1 + gate) + plain)`` with ``y = [x, messages]``.

    Gate and plain part come from one MLP of ``|y|``, the even messages, the context and a learned vector of the layer.
    Where a sign acts the plain part is left out, where none acts ``y`` stands for ``|y|``. One matrix serves all
    layers, in few large products: not the weights but these maps are the cost of a round.

    Args:
        view: Blocks of the networks.
        nodes: Fields of the networks.
        width: Channels.
        direction: Of messages.
        even: Whether magnitudes travel along squared weights.
        broken: Read ``y`` for ``|y|`` everywhere: the control.
    """

    def __init__(
        self, view: MatrixView, nodes: Nodes, width: int, direction: Direction, *, even: bool, broken: bool
    ) -> None:
        super().__init__()
        self.nodes, self.broken = nodes, broken
        self.messages = Messages(view, nodes, width, direction, even=False)
        links, inner = any(link.even for link in nodes.links), max(4, width // 2)
        tells = even or links
        self.evens = Messages(view, nodes, inner, direction, even=True, weights=even, width_in=width) if tells else None
        joined = width * (1 + self.messages.ways)
        self.linear = nn.Linear(joined, width, bias=False)
        self.seen = nn.Linear(joined, width, bias=False)
        self.heard = nn.Linear(inner * self.messages.ways, width, bias=False) if tells else None
        self.context = nn.Linear(width, width)
        self.layers = nn.Parameter(0.3 * torch.randn(nodes.num_units, width))
        # Fields that are no hub hear of the others from their hub, and tell it.
        apart = len(nodes.hub_of) > 0
        self.from_hub = nn.Linear(width, width, bias=False) if apart else None
        self.to_hub = nn.Linear(width, width, bias=False) if apart else None
        self.out = nn.Linear(width, 2 * width)
        self.norm = SoftNorm(width)

    def forward(
        self, x: Float[Tensor, "b n c"], context: Float[Tensor, "b c"], reading: Reading
    ) -> Float[Tensor, "b n c"]:
        y = torch.cat([x, self.messages(x, reading)], -1)
        hidden = self.seen(self.nodes.even(y, self.broken)) + self.context(context).unsqueeze(1)
        hidden = hidden + self.layers[self.nodes.unit_of] + self._told(x, reading)
        gate, plain = self.out(nn.functional.silu(hidden)).chunk(2, -1)
        change = self.linear(y) * (1 + gate)
        if self.nodes.any_signed:
            plain = plain.masked_fill(self.nodes.signed, 0.0)
        return self.norm(x + change + plain)

    def _told(self, x: Tensor, reading: Reading) -> Tensor | float:
        """What hubs are told and what they tell."""
        num = self.nodes.num[1]
        if self.evens is None and self.from_hub is None:
            return 0.0
        seen = self.nodes.even(x, self.broken)
        hubs, apart = seen[:, :num], seen[:, num:]
        told = x.new_zeros(())
        if self.evens is not None and self.heard is not None:
            told = self.heard(self.evens(hubs, reading))
        if self.from_hub is None or self.to_hub is None:
            return told
        table = self.nodes.hub_of
        others = (told + self.from_hub(hubs))[:, table]
        mine = self.to_hub(apart)
        told = torch.zeros_like(hubs).index_add(1, table, mine.to(hubs.dtype)) + told
        return torch.cat([told, others], 1)
