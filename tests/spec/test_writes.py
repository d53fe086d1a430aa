"""Writes in place: read where that is exact, else refused; pinned, whoever shares the memory stays in place too."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from traced_networks import assert_preserved, noise

import weightspace as ws
from weightspace.spec import derive

Write = Callable[[Tensor, Tensor], Tensor]


class Writes(nn.Module):
    """Two layers of six neurons, a write that the reader may not follow, and two more layers."""

    def __init__(self, write: Write) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 6, dtype=torch.float64), nn.Linear(3, 6, dtype=torch.float64)
        self.c, self.d = nn.Linear(6, 5, dtype=torch.float64), nn.Linear(5, 2, dtype=torch.float64)
        self.write = write

    def forward(self, x: Tensor) -> Tensor:
        return self.d(torch.tanh(self.c(self.write(torch.relu(self.a(x)), torch.tanh(self.b(x))))))


def fresh(change: Callable[[Tensor, Tensor], object], start: Callable[..., Tensor] = torch.zeros_like) -> Write:
    """A new tensor is changed by the first layer's values, and multiplies those of the second."""

    def write(h: Tensor, k: Tensor) -> Tensor:
        out = start(h)
        change(out, h)
        return out * k

    return write


def own(change: Callable[[Tensor], object]) -> Write:
    """The first layer's values are changed, and multiply those of the second."""
    return lambda h, k: (change(h), h * k)[1]


def viewed_before(h: Tensor, k: Tensor) -> Tensor:
    out = torch.zeros_like(h)
    view = out.view(-1)
    out[:, :4] = h[:, :4]
    return view.view(h.shape) * k + out


def through_dropout(h: Tensor, k: Tensor) -> Tensor:
    other = F.dropout(h, training=False)
    h[:, 1] = 0.5
    return other * k


def through_einsum(h: Tensor, k: Tensor) -> Tensor:
    turned = torch.einsum("bn->nb", h)
    h[:, 1] = 0.5
    return turned.T * k


def added_to(h: Tensor, k: Tensor) -> Tensor:
    out = torch.zeros_like(h)
    out[:, 0] = 1.0  # no neuron's value, yet the sum tells the first one from the rest
    return h + out + k


WRITES: dict[str, Write] = {
    "a slice": fresh(lambda out, h: out[:, 1:4].copy_(h[:, 1:4])),
    "a slice of another": fresh(lambda out, h: out[:, :3].copy_(h[:, 3:])),
    "a row": fresh(lambda out, h: out[1].copy_(h[1].exp())),
    "every other": fresh(lambda out, h: out[:, ::2].copy_(h[:, ::2])),
    "a chunk": fresh(lambda out, h: out.chunk(2, 1)[1].copy_(h[:, :3])),
    "an unbound row": fresh(lambda out, h: out.unbind(0)[1].copy_(h[0])),
    "a transposed view": fresh(lambda out, h: out.T[2].add_(h[:, 2])),
    "a view of a view": fresh(lambda out, h: out[:, 1:].view(-1, 5)[:, 1].sub_(h[:, 0])),
    "places by number": fresh(lambda out, h: out.index_put_((torch.tensor([0, 2]),), h[:2])),
    "neurons by number": fresh(lambda out, h: out.index_copy_(1, torch.tensor([3, 1]), h[:, :2])),
    "sums by number": fresh(lambda out, h: out.index_add_(1, torch.tensor([3, 3]), h[:, :2])),
    "scattered": fresh(lambda out, h: out.scatter_(1, torch.tensor([[0], [4], [2], [1]]), h)),
    "masked": fresh(lambda out, h: out[:, 2:].masked_fill_(h[:, 2:] > 0, 1.0)),
    "an argument for the result": fresh(lambda out, h: torch.exp(h, out=out)),
    "into ones": fresh(lambda out, h: out[:, :2].mul_(h[:, :2]), torch.ones_like),
    "into a copy": fresh(lambda out, h: out[:, :2].copy_(h[:, 3:5].exp()), torch.clone),
    "one neuron": own(lambda h: h[:, 0].fill_(2.0)),
    "one row": own(lambda h: h[0].zero_()),
    "some neurons": own(lambda h: h[:, 2:].sigmoid_()),
    "by a mask": own(lambda h: h[1:].masked_fill_(h[1:] > 0.1, 1.0)),
    "a view made before": viewed_before,
    "what dropout passes on": through_dropout,
    "what einsum turns": through_einsum,
    "a constant into zeros": added_to,
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_is_read_rightly_or_refused_and_pinned_under_all_names_of_the_memory(name: str) -> None:
    torch.manual_seed(0)
    net, x = Writes(WRITES[name]), noise(4, 3)
    try:
        spec = derive(net, x)
    except ws.SpecError:
        spec = derive(net, x, on_unknown="pin")
    assert_preserved(net, spec, x)
    assert [space.size for space in spec.free if space.scale == "sign"][-1:] == [5]  # the layer behind stays free


def test_a_constant_written_into_zeros_tells_one_neuron_apart() -> None:
    net, x = Writes(added_to), noise(4, 3)
    spec = derive(net, x)
    assert_preserved(net, spec, x)
    assert max(space.size for space in spec.free) == 5  # the first of six neurons is told apart, the others are not
