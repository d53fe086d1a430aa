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
class Round(nn.Module):
    """``norm(x + (Lin y) * gate + plain)`` with ``y = [x, messages]``.

    Gate (near 1 at first) and plain part come from one MLP of ``|Lin y|``, which tells relative signs of channels, the
    even messages, the context and a learned vector of the layer. Where a sign acts the plain part is left out, where
    none acts ``Lin y`` stands for its magnitude. One matrix serves all layers, in few large products: not the weights
    but these maps are the cost of a round.

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
        self.linear = nn.Linear(joined, 2 * width, bias=False)
        self.seen = nn.Linear(width, width, bias=False)
        self.heard = nn.Linear(inner * self.messages.ways, width, bias=False) if tells else None
        self.context = nn.Linear(width, width)
        self.layers = nn.Parameter(0.3 * torch.randn(nodes.num_units, width))
        # Fields that are no hub hear of the others from their hub, and tell it.
        apart = len(nodes.hub_of) > 0
        self.from_hub = nn.Linear(width, width, bias=False) if apart else None
        self.to_hub = nn.Linear(width, width, bias=False) if apart else None
        self.out = nn.Linear(width, 2 * width)
        with torch.no_grad():
            self.out.bias[:width] += 1
        # Bounded below: states near 0 stay near 0, with all their signs. (A layer norm would be odd as well, and
        # faster; operators learned less well with it, see runs/LOG.md.)
        self.norm = nn.RMSNorm(width, eps=0.1)

    def forward(
        self, x: Float[Tensor, "b n c"], context: Float[Tensor, "b c"], reading: Reading
    ) -> Float[Tensor, "b n c"]:
        change, told = self.linear(torch.cat([x, self.messages(x, reading)], -1)).chunk(2, -1)
        hidden = plus(self.layers[self.nodes.unit_of] + self.context(context).unsqueeze(1),
                      self.nodes.even(told, self.broken), self.seen)  # fmt: skip
        gate, plain = self.out(nn.functional.silu(self._heard(hidden, x, reading))).chunk(2, -1)
        x = torch.addcmul(x, change, gate)
        x = torch.addcmul(x, plain, self.nodes.unsigned) if self.nodes.any_signed else x + plain
        return self.norm(x)

    def _heard(self, hidden: Tensor, x: Tensor, reading: Reading) -> Tensor:
        """With what hubs are told by magnitudes, and what they tell the other fields of their permutation."""
        num = self.nodes.num[1]
        if self.evens is None and self.from_hub is None:
            return hidden
        seen = self.nodes.even(x, self.broken)
        told = None if self.evens is None else self.evens(seen[:, :num], reading)
        if self.from_hub is None or self.to_hub is None:
            assert told is not None, "nothing to tell was handled above"
            assert self.heard is not None, "made with the even messages"
            return plus(hidden, told, self.heard)
        table = self.nodes.hub_of
        mine = hidden[:, :num].index_add(1, table, self.to_hub(seen[:, num:]).to(hidden.dtype))
        others = hidden[:, num:] + self.from_hub(seen[:, :num])[:, table]
        if told is not None and self.heard is not None:
            mine, others = plus(mine, told, self.heard), others + self.heard(told)[:, table]
        return torch.cat([mine, others], 1)


def plus(x: Float[Tensor, "b n c"], y: Float[Tensor, "b n o"], linear: nn.Linear) -> Float[Tensor, "b n c"]:
    """``x + linear(y)`` in one pass, for maps without a bias."""
    return torch.addmm(x.flatten(0, 1), y.flatten(0, 1), linear.weight.T).unflatten(0, (len(x), -1))
