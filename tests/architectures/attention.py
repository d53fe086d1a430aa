"""Self-attention in the ways people write it, between a linear embedding and a head."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._registry import Architecture


class SeparateProjections(nn.Module):
    """Linear layers for query, key and value, heads by view and transpose, torch's own attention."""

    def __init__(self, d: int, heads: int, width: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.width, self.causal = heads, width, causal
        self.q, self.k, self.v = (nn.Linear(d, heads * width) for _ in range(3))
        self.o = nn.Linear(heads * width, d)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (layer(x).view(b, t, self.heads, self.width).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.o(y.transpose(1, 2).reshape(b, t, self.heads * self.width))


class PackedChunk(SeparateProjections):
    """One Linear for the three, split by chunk; products written out."""

    def __init__(self, d: int, heads: int, width: int) -> None:
        super().__init__(d, heads, width)
        del self.q, self.k, self.v
        self.qkv = nn.Linear(d, 3 * heads * width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (part.view(b, t, self.heads, self.width).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        weights = (q @ k.transpose(-2, -1) / self.width**0.5).softmax(dim=-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2))


class PackedReshape(PackedChunk):
    """One Linear for the three, as reshape(3, H, d) and unbind (timm's layout)."""

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, self.heads, self.width).permute(2, 0, 3, 1, 4).unbind(0)
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, -1))


class PackedByHead(PackedChunk):
    """One Linear for the three, as (H, 3 d): a head's query, key and value lie together (GPT-NeoX's layout)."""

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = self.qkv(x).view(b, t, self.heads, 3 * self.width).transpose(1, 2).chunk(3, dim=-1)
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, -1))


class Einsum(nn.Module):
    """Weights with a head axis, all products by einsum."""

    def __init__(self, d: int, heads: int, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Parameter(torch.randn(heads, d, width)) for _ in range(3))
        self.o = nn.Parameter(torch.randn(heads, width, d))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (torch.einsum("btd,hdw->bhtw", x, weight) for weight in (self.q, self.k, self.v))
        weights = torch.einsum("bhtw,bhsw->bhts", q, k).softmax(dim=-1)
        return torch.einsum("bhts,bhsw,hwd->btd", weights, v, self.o)


class NormedQueries(SeparateProjections):
    """Query and key pass an RMSNorm over the head's coordinates, its gains shared by the heads."""

    def __init__(self, d: int, heads: int, width: int) -> None:
        super().__init__(d, heads, width)
        self.q_norm, self.k_norm = nn.RMSNorm(width, eps=1e-3), nn.RMSNorm(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (layer(x).view(b, t, self.heads, self.width).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v)
        return self.o(y.transpose(1, 2).reshape(b, t, -1))


class CosineAttention(SeparateProjections):
    """Normalized queries and keys, and a learned temperature per head (Swin v2, XCiT)."""

    def __init__(self, d: int, heads: int, width: int) -> None:
        super().__init__(d, heads, width)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (layer(x).view(b, t, self.heads, self.width).transpose(1, 2) for layer in (self.q, self.k, self.v))
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        return self.o(((scores * self.temperature).softmax(dim=-1) @ v).transpose(1, 2).reshape(b, t, -1))


class Temperature(SeparateProjections):
    """A learned temperature per head on plain scores."""

    def __init__(self, d: int, heads: int, width: int) -> None:
        super().__init__(d, heads, width)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (layer(x).view(b, t, self.heads, self.width).transpose(1, 2) for layer in (self.q, self.k, self.v))
        weights = (q @ k.transpose(-2, -1) * self.temperature).softmax(dim=-1)
        return self.o((weights @ v).transpose(1, 2).reshape(b, t, -1))


class RelativeBias(SeparateProjections):
    """A learned number per head and distance is added to the scores (T5, Swin)."""

    distance: Tensor

    def __init__(self, d: int, heads: int, width: int, length: int) -> None:
        super().__init__(d, heads, width)
        self.table = nn.Parameter(torch.zeros(2 * length - 1, heads))
        places = torch.arange(length)
        self.register_buffer("distance", places[:, None] - places[None] + length - 1)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (layer(x).view(b, t, self.heads, self.width).transpose(1, 2) for layer in (self.q, self.k, self.v))
        bias = self.table[self.distance].permute(2, 0, 1)
        weights = (q @ k.transpose(-2, -1) + bias).softmax(dim=-1)
        return self.o((weights @ v).transpose(1, 2).reshape(b, t, -1))


class MultiQuery(nn.Module):
    """One key and one value for all heads, broadcast (Shazeer 2019)."""

    def __init__(self, d: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.q, self.kv = nn.Linear(d, heads * width), nn.Linear(d, 2 * width)
        self.o = nn.Linear(heads * width, d)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q = self.q(x).view(b, t, self.heads, self.width).transpose(1, 2)
        k, v = self.kv(x).unsqueeze(1).split(self.width, dim=-1)
        return self.o(((q @ k.mT).softmax(dim=-1) @ v).transpose(1, 2).reshape(b, t, -1))


class GroupedQueries(nn.Module):
    """Query heads share heads of keys and values, in the four ways in which people copy these or do not."""

    def __init__(self, d: int, heads: int, shared: int, width: int, way: str) -> None:
        super().__init__()
        self.heads, self.shared, self.width, self.way = heads, shared, width, way
        self.q, self.o = nn.Linear(d, heads * width, bias=False), nn.Linear(heads * width, d, bias=False)
        self.k, self.v = (nn.Linear(d, shared * width, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        each = self.heads // self.shared
        q, k, v = (layer(x).view(b, t, -1, self.width).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if self.way == "matmul":
            weights = (q.reshape(b, self.shared, each, t, -1) @ k[:, :, None].mT / self.width**0.5).softmax(dim=-1)
            y = (weights @ v[:, :, None]).reshape(b, self.heads, t, -1)
        elif self.way == "sdpa":
            y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        else:
            k, v = (
                part.repeat_interleave(each, 1)
                if self.way == "repeat"
                else part[:, :, None].expand(-1, -1, each, -1, -1).reshape(b, self.heads, t, -1)
                for part in (k, v)
            )
            y = F.scaled_dot_product_attention(q, k, v)
        return self.o(y.transpose(1, 2).reshape(b, t, -1))


class OwnMultihead(nn.Module):
    """nn.MultiheadAttention, attending to itself."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(d, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class Residual(nn.Module):
    """x + inner(norm(x)); without a norm the stream has scales of its own."""

    def __init__(self, inner: nn.Module, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.inner, self.norm = inner, norm or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(self.norm(x))


def between(d: int, inner: nn.Module, norm: bool = True) -> nn.Module:
    """Embedding, one residual branch, head."""
    return nn.Sequential(nn.Linear(4, d), Residual(inner, nn.LayerNorm(d) if norm else None), nn.Linear(d, 3))


TOKENS = ((2, 5, 4),)
BRANCH = "After the norm 7; in each head one scale per query-key and value-output coordinate, 6 + 6."
ARCHITECTURES = [
    Architecture("attention_separate", lambda: between(7, SeparateProjections(7, 2, 3)), TOKENS, BRANCH, scales=19),
    Architecture("attention_chunk", lambda: between(7, PackedChunk(7, 2, 3)), TOKENS, BRANCH, scales=19),
    Architecture("attention_reshape", lambda: between(7, PackedReshape(7, 2, 3)), TOKENS, BRANCH, scales=19),
    Architecture("attention_by_head", lambda: between(7, PackedByHead(7, 2, 3)), TOKENS, BRANCH, scales=19),
    Architecture(
        "attention_einsum",
        lambda: between(7, Einsum(7, 2, 3)),
        TOKENS,
        "After the norm 7. A head's coordinates lie on two axes: 2 + 3 - 1 products of labels per pair, of 6 that act.",
        scales=15,
    ),
    Architecture(
        "attention_no_norm",
        lambda: between(7, SeparateProjections(7, 2, 3), norm=False),
        TOKENS,
        "A linear stream is scaled: 7; 6 + 6.",
        scales=19,
    ),
    Architecture(
        "attention_qk_norm",
        lambda: between(7, NormedQueries(7, 2, 3)),
        TOKENS,
        "7; values 6; the gains of query and key against each other 3, the same in every head.",
        scales=16,
    ),
    Architecture(
        "attention_cosine",
        lambda: between(7, CosineAttention(7, 2, 3)),
        TOKENS,
        "7; values 6; a head's query and its key have no length: 2 + 2. The temperature is fixed.",
        scales=17,
    ),
    Architecture(
        "attention_temperature",
        lambda: between(7, Temperature(7, 2, 3)),
        TOKENS,
        "7; 6 + 6, and per head its temperature against its queries: 2.",
        scales=21,
    ),
    Architecture("attention_relative_bias", lambda: between(7, RelativeBias(7, 2, 3, 5)), TOKENS, BRANCH, scales=19),
    Architecture(
        "attention_multi_query",
        lambda: between(7, MultiQuery(7, 2, 3)),
        TOKENS,
        "7; all heads share the key's and the value's scales: 3 + 3.",
        scales=13,
    ),
    *(
        Architecture(
            f"attention_grouped_{way}",
            lambda way=way: between(5, GroupedQueries(5, 4, 2, 2, way)),
            TOKENS,
            "After the norm 5; in each of the two heads of keys and values 2 + 2.",
            scales=13,
        )
        for way in ("expand", "matmul")
    ),
    Architecture(
        "multihead_prenorm",
        lambda: between(6, OwnMultihead(6, 2)),
        TOKENS,
        "After the norm 6; in the heads 6 + 6.",
        scales=18,
    ),
]
