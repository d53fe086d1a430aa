"""Entries read and written at positions: pooling at the end of a sequence, routing to experts, tables, loops."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._registry import Architecture, Tokens


class EndOfSequence(nn.Module):
    """Tokens, a residual block, and the features at each sequence's largest token, as CLIP reads its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(9, 4), nn.Linear(4, 4)
        self.one, self.two, self.out = nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        x = x + self.mix(x.cumsum(1))
        x = x + self.two(F.relu(self.one(x)))
        return self.out(x[torch.arange(len(x)), tokens.argmax(dim=-1)])


class Experts(nn.Module):
    """A gate chooses two of three experts for each token and weighs them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gate = nn.Linear(4, 5), nn.Linear(5, 3)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 5)) for _ in range(3))
        self.out = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        weights, chosen = self.gate(x).softmax(dim=-1).topk(2, dim=-1)
        weights = torch.zeros_like(weights.new_empty(len(x), 3)).scatter(
            1, chosen, weights / weights.sum(1, keepdim=True)
        )
        return self.out(sum(weights[:, k, None] * expert(x) for k, expert in enumerate(self.experts)))


class StackedExperts(nn.Module):
    """Experts as one tensor, looked up for each token, the two results added up by position."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.randn(3, 5))
        self.up, self.down = nn.Parameter(torch.randn(3, 6, 5)), nn.Parameter(torch.randn(3, 5, 6))
        self.embed, self.out = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.embed(x))
        weights, chosen = F.linear(x, self.gate).softmax(dim=-1).topk(2, dim=-1)
        hidden = F.relu(torch.einsum("bkhi,bi->bkh", self.up[chosen], x))
        return self.out(x + torch.einsum("bk,bkih,bkh->bi", weights, self.down[chosen], hidden))


class FourierPositions(nn.Module):
    """Positions by arithmetic on constants (rounded division, powers, floor) and on a buffer, added to an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place, self.out = nn.Linear(3, 5), nn.Linear(8, 5), nn.Linear(5, 2)
        self.register_buffer("steps", torch.tensor([0.0, 1.0, 2.5, 4.0]))

    def forward(self, x: Tensor) -> Tensor:
        pair = torch.div(torch.arange(4, dtype=x.dtype), 2, rounding_mode="floor")
        angles = torch.floor(self.steps.cumsum(0) / 2)[: x.shape[1], None] * torch.pow(torch.tensor(10.0), -pair / 2)
        code = torch.cat([angles.sin(), torch.fmod(angles, 3.0).cos()], dim=-1)
        return self.out(F.relu(self.embed(x) + self.place(code.to(x.dtype))))


class RelativePositions(nn.Module):
    """Two heads; scores by content, by a position table read with gather, and by a table that is interpolated."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.q, self.k, self.v, self.o = (nn.Linear(4, 4) for _ in range(4))
        self.table, self.bias = nn.Parameter(torch.randn(7, 4)), nn.Parameter(torch.randn(1, 2, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        num, length = x.shape[:2]
        q, k, v = (layer(x).view(num, length, 2, 2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        by_place = torch.einsum("bhqc,phc->bhqp", q, self.table.view(7, 2, 2))
        apart = torch.arange(length)[:, None] - torch.arange(length) + 3
        scores = q @ k.transpose(2, 3) + by_place.gather(3, apart.expand(num, 2, length, length))
        scores = scores + F.interpolate(self.bias, size=(length, length), mode="bilinear")
        return self.o((scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(num, length, 4))


class LinearAttention(nn.Module):
    """A running, decaying mean of values, weighed by keys, written step by step into a new tensor, as in RWKV."""

    def __init__(self) -> None:
        super().__init__()
        self.key, self.value, self.receptance = (nn.Linear(3, 5) for _ in range(3))
        self.decay, self.out = nn.Parameter(torch.randn(5)), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        key, value = self.key(x), torch.relu(self.value(x))
        mean, weight = torch.zeros_like(value[:, 0]), torch.zeros_like(key[:, 0])
        kept = torch.empty_like(value)
        for step in range(x.shape[1]):
            near = torch.exp(key[:, step])
            mean = torch.exp(-self.decay.exp()) * mean + near * value[:, step]
            weight = torch.exp(-self.decay.exp()) * weight + near
            kept[:, step] = mean / weight
        return self.out(torch.sigmoid(self.receptance(x)) * kept)


class Shifted(nn.Module):
    """Half of the neurons see the step before: slices are assigned, and a view made before sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        mixed = torch.zeros_like(h)
        late = mixed[:, 1:]
        mixed[:, 1:, :3] = h[:, :-1, :3]
        mixed[..., 3:] = h[..., 3:]
        mixed[torch.arange(2), torch.tensor([2, 1])] = h[:, 0]
        return self.last(late)


ARCHITECTURES = [
    Architecture("linear_attention", LinearAttention, ((2, 3, 3),), "The values' 5.", scales=5),
    Architecture("shifted_halves", Shifted, ((2, 4, 3),), "6, in two halves.", scales=6),
    Architecture("end_of_sequence", EndOfSequence, (Tokens(9, (2, 5)),), "The stream's 4 and 6 inside.", scales=10),
    Architecture(
        "mixture_of_experts",
        Experts,
        ((4, 4),),
        "The linear stream's 5 + 5, and 6 in each of three experts.",
        scales=28,
    ),
    Architecture(
        "stacked_experts",
        StackedExperts,
        ((4, 4),),
        "6, alike in all experts, whose units share an axis; one for each expert less one.",
        scales=8,
    ),
    Architecture("fourier_positions", FourierPositions, ((2, 4, 3),), "5.", scales=5),
    Architecture(
        "relative_positions",
        RelativePositions,
        ((2, 4, 3),),
        "The stream's 4, queries and keys 4, values 4.",
        scales=12,
    ),
]
