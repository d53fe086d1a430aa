"""Transformers and their relatives: vision, language, mixing without attention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._registry import Architecture, Tokens
from .attention import Residual, SeparateProjections
from .dense import mlp


class ViT(nn.Module):
    """Patch embedding, class token, learned positions, two pre-norm blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(2, 6, 3, 3)
        self.token = nn.Parameter(torch.zeros(1, 1, 6))
        self.places = nn.Parameter(torch.zeros(1, 5, 6))
        blocks = []
        for _ in range(2):
            blocks.append(Residual(SeparateProjections(6, 2, 4), nn.LayerNorm(6)))
            blocks.append(Residual(mlp(nn.GELU, 6, 9, 6), nn.LayerNorm(6)))
        self.blocks = nn.Sequential(*blocks)
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


class WindowBlock(nn.Module):
    """Attention inside windows of 2x2, cyclically shifted or not."""

    def __init__(self, d: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(2))
        self.attention, self.mlp = SeparateProjections(d, 2, 3), mlp(nn.GELU, d, 7, d)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        y = torch.roll(self.norms[0](x), (-self.shift, -self.shift), (1, 2))
        y = y.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        y = self.attention(y).view(b, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
        x = x + torch.roll(y, (self.shift, self.shift), (1, 2))
        return x + self.mlp(self.norms[1](x))


class Swin(nn.Module):
    """Two window blocks, patches merged by concatenating four neighbours, one more block."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 5, 2, 2)
        self.early = nn.Sequential(WindowBlock(5, 0), WindowBlock(5, 1))
        self.merge_norm, self.merge = nn.LayerNorm(20), nn.Linear(20, 8, bias=False)
        self.late = WindowBlock(8, 0)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.early(self.patches(x).permute(0, 2, 3, 1))
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], dim=-1)
        x = self.late(self.merge(self.merge_norm(x)))
        return self.head(self.norm(x).mean(dim=(1, 2)))


class GPT(nn.Module):
    """Causal pre-norm block; the embedding is the output's weight as well."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(9, 6), nn.Embedding(5, 6)
        self.attention = Residual(SeparateProjections(6, 2, 4, causal=True), nn.LayerNorm(6))
        self.mlp = Residual(mlp(nn.GELU, 6, 11, 6), nn.LayerNorm(6))
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 9, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device))
        return self.head(self.norm(self.mlp(self.attention(x))))


class RotaryGrouped(nn.Module):
    """Four query heads share two of keys and values; queries and keys are turned by their place.

    With ``norm``, as in Qwen 3, they are normalized before, with gains that all heads share.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, d: int, heads: int, shared: int, width: int, norm: bool = False) -> None:
        super().__init__()
        self.heads, self.shared, self.width = heads, shared, width
        self.q_norm, self.k_norm = (nn.RMSNorm(width, eps=1e-5) if norm else nn.Identity() for _ in range(2))
        self.q = nn.Linear(d, heads * width, bias=False)
        self.k, self.v = (nn.Linear(d, shared * width, bias=False) for _ in range(2))
        self.o = nn.Linear(heads * width, d, bias=False)
        angles = torch.outer(torch.arange(8.0), 10000.0 ** (-torch.arange(0, width, 2) / width))
        self.register_buffer("cos", torch.cat([angles, angles], dim=-1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat([angles, angles], dim=-1).sin(), persistent=False)

    def turned(self, x: Tensor) -> Tensor:
        t = x.shape[2]
        left, right = x.chunk(2, dim=-1)
        return x * self.cos[:t] + torch.cat([-right, left], dim=-1) * self.sin[:t]

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q = self.turned(self.q_norm(self.q(x).view(b, t, self.heads, self.width)).transpose(1, 2))
        k = self.turned(self.k_norm(self.k(x).view(b, t, self.shared, self.width)).transpose(1, 2))
        v = self.v(x).view(b, t, self.shared, self.width).transpose(1, 2)
        k, v = (part.repeat_interleave(self.heads // self.shared, dim=1) for part in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(y.transpose(1, 2).reshape(b, t, -1))


class SwiGLU(nn.Module):
    """down(act(gate(x)) * up(x)); GEGLU with GELU for the activation."""

    def __init__(self, d: int, wide: int, act: nn.Module) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(d, wide, bias=False), nn.Linear(d, wide, bias=False)
        self.down, self.act = nn.Linear(wide, d, bias=False), act

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.gate(x)) * self.up(x))


class PackedGEGLU(nn.Module):
    def __init__(self, d: int, wide: int) -> None:
        super().__init__()
        self.both, self.down = nn.Linear(d, 2 * wide), nn.Linear(wide, d)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.both(x).chunk(2, dim=-1)
        return self.down(value * F.gelu(gate))


class Llama(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(9, 6)
        self.attention = Residual(RotaryGrouped(6, 4, 2, 4), nn.RMSNorm(6, eps=1e-5))
        self.mlp = Residual(SwiGLU(6, 7, nn.SiLU()), nn.RMSNorm(6, eps=1e-5))
        self.norm, self.head = nn.RMSNorm(6, eps=1e-5), nn.Linear(6, 9, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.mlp(self.attention(self.tokens(tokens)))))


class CrossAttention(nn.Module):
    def __init__(self, d: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.q, self.k, self.v = (nn.Linear(d, heads * width, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * width, d, bias=False)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        def split(y: Tensor) -> Tensor:
            return y.view(y.shape[0], y.shape[1], self.heads, self.width).transpose(1, 2)

        q, k, v = split(self.q(x)), split(self.k(memory)), split(self.v(memory))
        y = (q @ k.transpose(-2, -1)).softmax(dim=-1) @ v
        return self.o(y.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1))


class EncoderDecoder(nn.Module):
    """T5's form: one shared embedding, RMS norms, ReLU, cross attention."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(7, 6)
        self.norms = nn.ModuleList(nn.RMSNorm(6, eps=1e-5) for _ in range(6))
        self.attention = nn.ModuleList(CrossAttention(6, 2, 3) for _ in range(3))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(6, wide, bias=False), nn.ReLU(), nn.Linear(wide, 6, bias=False)) for wide in (8, 9)
        )
        self.head = nn.Linear(6, 7, bias=False)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        x, y = self.tokens(source), self.tokens(target)
        z = self.norms[0](x)
        x = x + self.attention[0](z, z)
        memory = self.norms[2](x + self.mlps[0](self.norms[1](x)))
        z = self.norms[3](y)
        y = y + self.attention[1](z, z)
        y = y + self.attention[2](self.norms[4](y), memory)
        return self.head(y + self.mlps[1](self.norms[5](y)))


class LayerScaled(nn.Module):
    """x + gamma * branch(norm(x)) (CaiT), or x + alpha * branch(x) with one number (ReZero)."""

    def __init__(self, d: int, wide: int, zero: bool) -> None:
        super().__init__()
        self.norm = nn.Identity() if zero else nn.LayerNorm(d)
        self.gamma = nn.Parameter(torch.tensor(0.0) if zero else torch.full((d,), 1e-4))
        self.branch = mlp(nn.ReLU if zero else nn.GELU, d, wide, d)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma * self.branch(self.norm(x))


class ConvNeXtBlock(nn.Module):
    def __init__(self, d: int, wide: int) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(d, d, 5, padding=2, groups=d), nn.LayerNorm(d, eps=1e-6)
        self.up, self.down = nn.Linear(d, wide), nn.Linear(wide, d)
        self.gamma = nn.Parameter(torch.full((d,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(2, 5, 2, 2), nn.Sequential(ConvNeXtBlock(5, 9), ConvNeXtBlock(5, 7))
        self.norm, self.head = nn.LayerNorm(5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.stem(x)).mean((2, 3))))


class MixerBlock(nn.Module):
    def __init__(self, tokens: int, d: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(2))
        self.tokens, self.channels = mlp(nn.GELU, tokens, 7, tokens), mlp(nn.GELU, d, 8, d)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norms[1](x))


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.block = nn.Conv2d(1, 5, 3, 3), MixerBlock(4, 5)
        self.norm, self.head = nn.LayerNorm(5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.patches(x).flatten(2).transpose(1, 2))
        return self.head(self.norm(x).mean(dim=1))


class SpatialGate(nn.Module):
    """gMLP's block: one half, normed and mixed over tokens, gates the other (Liu et al. 2021)."""

    def __init__(self, tokens: int, d: int, half: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(d), nn.Linear(d, 2 * half), nn.Linear(half, d)
        self.gate_norm, self.mix = nn.LayerNorm(half), nn.Conv1d(tokens, tokens, 1)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = F.gelu(self.up(self.norm(x))).chunk(2, dim=-1)
        return x + self.down(value * self.mix(self.gate_norm(gate)))


class SetTransformer(nn.Module):
    """Self-attention over the set, then learned seeds attend to it (Lee et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.encode = nn.Linear(3, 6), CrossAttention(6, 2, 4)
        self.seeds, self.pool = nn.Parameter(torch.randn(2, 6)), CrossAttention(6, 3, 2)
        self.mlp, self.head = nn.Linear(6, 6), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.encode(x, x)
        x = x + F.relu(self.mlp(x))
        pooled = self.pool(self.seeds.expand(x.shape[0], -1, -1), x)
        return self.head(pooled.flatten(1))


class OwnEncoder(nn.Module):
    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(6, 2, 9, batch_first=True, norm_first=norm_first)
        self.embed, self.head = nn.Linear(4, 6), nn.Linear(6, 3)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x)))


class OwnDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(4, 6), nn.Linear(6, 3)
        self.decoder = nn.TransformerDecoderLayer(6, 2, 9, batch_first=True)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.head(self.decoder(self.embed(x), memory))


def between(d: int, *blocks: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, d), *blocks, nn.Linear(d, 3))


SEQUENCE = ((2, 5, 4),)
ARCHITECTURES = [
    Architecture(
        "vit", ViT, ((2, 2, 6, 6),), "After five norms 5 x 6; in the heads of two blocks 2 x (8 + 8).", scales=62
    ),
    Architecture(
        "swin", Swin, ((2, 1, 8, 8),), "After norms 4 x 5 + 20 + 3 x 8; in the heads 3 x (6 + 6).", scales=100
    ),
    Architecture(
        "gpt_tied",
        GPT,
        (Tokens(9, (2, 5)),),
        "After two norms 6 + 6 (the tie fixes the last); heads 8 + 8.",
        scales=28,
    ),
    Architecture(
        "llama",
        Llama,
        (Tokens(9, (2, 5)),),
        "After norms 3 x 6; values, per shared head, 2 x 4; query-key pairs that turn together, 2 x 2; SwiGLU 7.",
        scales=37,
    ),
    Architecture(
        "t5_encoder_decoder",
        EncoderDecoder,
        (Tokens(7, (2, 5)), Tokens(7, (2, 4))),
        "After norms 6 x 6; heads 3 x (6 + 6); ReLU 8 + 9.",
        scales=89,
    ),
    Architecture(
        "transformer_encoder_post",
        lambda: OwnEncoder(False),
        SEQUENCE,
        "Heads 2 x (6 + 6), ReLU 2 x 9. The norms' outputs are the streams; the last is read by the head alone: 6.",
        scales=48,
    ),
    Architecture(
        "transformer_encoder_pre",
        lambda: OwnEncoder(True),
        SEQUENCE,
        "After norms 4 x 6, heads 2 x (6 + 6), ReLU 2 x 9.",
        scales=66,
    ),
    Architecture(
        "transformer_decoder_layer",
        OwnDecoder,
        ((2, 5, 4), (2, 3, 6)),
        "Heads 2 x (6 + 6), ReLU 9; after the last norm 6.",
        scales=39,
    ),
    Architecture(
        "rezero",
        lambda: between(6, LayerScaled(6, 9, True), LayerScaled(6, 7, True)),
        SEQUENCE,
        "The stream is linear: 6; ReLU 9 + 7. The gain has no axis.",
        scales=22,
    ),
    Architecture(
        "layer_scale_cait",
        lambda: between(6, LayerScaled(6, 9, False), LayerScaled(6, 7, False)),
        SEQUENCE,
        "After norms 6 + 6; each gain against its branch 6 + 6. A norm in between, so the stream has no scale.",
        scales=24,
    ),
    Architecture("convnext", ConvNeXt, ((2, 2, 8, 8),), "After norms 3 x 5; gains against branches 2 x 5.", scales=25),
    Architecture(
        "mlp_mixer",
        Mixer,
        ((2, 1, 6, 6),),
        "After the channel norm and the last one 5 + 5. The token mixer reads all channels "
        "alike: one scale for all gains before it, 1. Its last bias is lost in the next norms' means.",
        scales=11,
    ),
    Architecture(
        "gmlp",
        lambda: between(6, SpatialGate(5, 6, 7)),
        SEQUENCE,
        "After the first norm 6. The token mixer reads all gates alike: one scale for all before it and one "
        "after it, 1 + 1; its bias has one number per token, none per channel.",
        scales=8,
    ),
    Architecture(
        "set_transformer",
        SetTransformer,
        ((2, 5, 3),),
        "The linear and ReLU stream 6; heads 8 + 8; pooling: values 6, query-key 6, seeds against queries 6, pooled 6.",
        scales=46,
    ),
    Architecture(
        "swiglu",
        lambda: between(6, Residual(SwiGLU(6, 7, nn.SiLU()), nn.RMSNorm(6, eps=1e-5))),
        SEQUENCE,
        "After the norm 6; the linear factor 7.",
        scales=13,
    ),
    Architecture(
        "geglu",
        lambda: between(6, Residual(PackedGEGLU(6, 7), nn.LayerNorm(6))),
        SEQUENCE,
        "After the norm 6; the linear half 7.",
        scales=13,
    ),
]
