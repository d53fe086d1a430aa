"""A causal language model as libraries ship it: keyword inputs, a dataclass with logits and a cache."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Cache:
    """Keys and values by layer, of a class that no tracer knows."""

    def __init__(self) -> None:
        self.layers: list[tuple[Tensor, Tensor]] = []

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.layers)

    def update(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        self.layers.append((key, value))
        return key, value


@dataclass
class Output:
    """What the model returns; entries that were not asked for are ``None``."""

    logits: Tensor
    loss: Tensor | None = None
    past_key_values: Cache | tuple[tuple[Tensor, Tensor], ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class Block(nn.Module):
    """Causal attention of two heads and a gated MLP, before each an RMS norm."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.RMSNorm(d) for _ in range(2))
        self.q, self.k, self.v, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.gate, self.up, self.down = nn.Linear(d, 12), nn.Linear(d, 12), nn.Linear(12, d)

    def forward(self, x: Tensor, cache: Cache) -> Tensor:
        y = self.norms[0](x)
        query, key, value = (layer(y).unflatten(-1, (2, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        key, value = cache.update(key, value)
        y = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.o(y.transpose(1, 2).flatten(2))
        y = self.norms[1](x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class LanguageModel(nn.Module):
    """A decoder on tokens."""

    def __init__(self, cache: type = Cache, layers: int = 1) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.blocks = nn.ModuleList(Block(8) for _ in range(layers))
        self.norm, self.head = nn.RMSNorm(8), nn.Linear(8, 11, bias=False)
        self.kind = cache

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        use_cache: bool = True,
        output_hidden_states: bool = False,
        return_dict: bool = True,
    ) -> Output | tuple[object, ...]:
        assert attention_mask is None, "a mask is made inside"
        cache, x = Cache(), self.embed(input_ids)
        hidden = [x]
        for block in self.blocks:
            x = block(x, cache)
            hidden.append(x)
        logits = self.head(self.norm(x))
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        past = None if not use_cache else cache if self.kind is Cache else tuple(cache)
        if not return_dict:
            return (logits, past)
        return Output(logits, loss, past, tuple(hidden) if output_hidden_states else None)


def make() -> LanguageModel:
    """The model with parameters that are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LanguageModel()
