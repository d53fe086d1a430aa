"""Constructs whose symmetry cannot be read, each between two Linear layers; a refusal has to name them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._registry import Architecture


@dataclass(frozen=True)
class Refusal(Architecture):
    """An entry of the list of refusals.

    Attributes:
        names: Regular expression that a refusal's message matches, whatever the case.
    """

    names: str = ""


Construct = Callable[["Middle", Tensor], Tensor]


class Middle(nn.Module):
    """Linear, the construct, Linear; the construct sees the module and ``[b, 6]`` hidden values."""

    def __init__(self, construct: Construct, read: int = 6) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(read, 3)
        self.left, self.right = nn.Parameter(torch.randn(6, 5)), nn.Parameter(torch.randn(5, 6))
        self.table = nn.Embedding(6, 6)
        self.construct = construct

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.construct(self, torch.relu(self.first(x))))


class Hypernetwork(nn.Module):
    """The weights of the second layer are computed from the first one's neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.make, self.read = nn.Linear(4, 6), nn.Linear(6, 5 * 7), nn.Linear(4, 7)
        self.out = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.make(torch.relu(self.first(x))).view(-1, 5, 7)
        return self.out(torch.bmm(weights, torch.relu(self.read(x)).unsqueeze(2)).squeeze(2))


@torch.library.custom_op("weightspace_tests::neighbours", mutates_args=())
def neighbours(x: Tensor) -> Tensor:
    """Every neuron plus its right neighbour, in a way no tracer sees."""
    return x + x.roll(1, -1)


@neighbours.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def branch(_: Middle, h: Tensor) -> Tensor:
    return h if h.sum() > 0 else -h


def spectrum(_: Middle, h: Tensor) -> Tensor:
    return torch.complex(h[:, :3], h[:, 3:]).abs()


def inverse(_: Middle, h: Tensor) -> Tensor:
    square = h.unsqueeze(2) * h.unsqueeze(1) + torch.eye(6, dtype=h.dtype)
    return torch.linalg.inv(square).sum(dim=2)


def learned_product(net: Middle, h: Tensor) -> Tensor:
    return F.linear(h, net.left @ net.right)


def frequencies(_: Middle, h: Tensor) -> Tensor:
    return torch.fft.rfft(h).abs()


def chosen_rows(_: Middle, h: Tensor) -> Tensor:
    """One expert of a mixture, on the rows that chose it."""
    (rows,) = torch.where(h.sum(1) > 0)
    return h.index_add(0, rows, 2 * h[rows])


def refused(name: str, construct: Construct, names: str, notes: str, read: int = 6) -> Refusal:
    return Refusal(name, lambda: Middle(construct, read), ((2, 4),), notes, names=names)


REFUSED: dict[str, Refusal] = {
    entry.name: entry
    for entry in (
        refused("fft", frequencies, "fft", "Mixes all neurons in a fixed basis.", 4),
        refused("sort", lambda _, h: h.sort(dim=1).values, "sort", "Not equivariant to permutations of neurons."),
        refused("cumsum", lambda _, h: h.cumsum(dim=1), "cumsum", "Depends on the order of neurons."),
        refused("product_of_weights", learned_product, "matmul|weight", "A Linear whose weight is a product of two."),
        refused("branch_on_values", branch, "if|values|branch", "The graph depends on the data."),
        refused("rows_by_value", chosen_rows, "rows", "How many rows an expert reads is known only from the data."),
        refused("complex", spectrum, "complex", "Two neurons become one number.", 3),
        refused(
            "argmax_embedding",
            lambda net, h: net.table(h.argmax(dim=1)),
            "argmax",
            "The number of a neuron is looked up; a permutation would have to act on the table's rows.",
        ),
        Refusal(
            "hypernetwork",
            Hypernetwork,
            ((2, 4),),
            "Weights of a layer are hidden neurons.",
            names="matmul|bmm|view|reshape",
        ),
        refused("inverse", inverse, "inv|mul|unsqueeze", "A matrix per example is inverted."),
        refused("custom_op", lambda _, h: neighbours(h), "neighbours", "An operator nobody can look into."),
    )
}
