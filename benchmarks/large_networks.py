"""Networks of real size, written plainly: ResNet-50 and ViT-S/16, with numbers as training leaves them.

Fresh networks are easier and stranger than trained ones: biases of 0, running means of 0, gains of 1. Here those are
drawn. ``width`` is the share of the full width, for tests.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Bottleneck(nn.Module):
    """The residual block of arXiv:1512.03385, with the stride in the 3x3 convolution."""

    def __init__(self, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        out = 4 * inner
        self.conv1, self.bn1 = nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out)
        shortcut = [nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)]
        self.downsample = nn.Sequential(*(shortcut if stride != 1 or channels != out else []))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet50(nn.Module):
    """Bottlenecks 3-4-6-3: 25.6 million parameters at full width."""

    def __init__(self, width: float = 1.0, blocks: tuple[int, ...] = (3, 4, 6, 3)) -> None:
        super().__init__()
        first = round(64 * width)
        self.conv1, self.bn1 = nn.Conv2d(3, first, 7, 2, 3, bias=False), nn.BatchNorm2d(first)
        layers, channels = [], first
        for stage, num in enumerate(blocks):
            inner = first * 2**stage
            for block in range(num):
                layers.append(Bottleneck(channels, inner, 2 if stage and not block else 1))
                channels = 4 * inner
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(channels, 1000)

    def forward(self, x: Tensor) -> Tensor:
        y = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.fc(self.layers(y).mean((2, 3)))


class Block(nn.Module):
    """Attention and an MLP, each after a layer normalization."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(attended.transpose(1, 2).reshape(b, n, c))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class ViTSmall16(nn.Module):
    """ViT-S/16 (arXiv:2010.11929 in the size of arXiv:2012.12877): 22 million parameters at full width."""

    def __init__(self, width: float = 1.0, depth: int = 12, side: int = 224) -> None:
        super().__init__()
        size, heads, num = round(384 * width), 6, (side // 16) ** 2
        self.patches = nn.Conv2d(3, size, 16, 16)
        self.token, self.places = nn.Parameter(torch.zeros(1, 1, size)), nn.Parameter(torch.zeros(1, num + 1, size))
        self.blocks = nn.Sequential(*(Block(size, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(size), nn.Linear(size, 1000)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(len(y), -1, -1), y], 1) + self.places
        return self.head(self.norm(self.blocks(y))[:, 0])


def as_trained(module: nn.Module, seed: int) -> nn.Module:
    """The module in eval mode; biases, gains, running statistics and embeddings drawn, weights as they start."""
    generator = torch.Generator().manual_seed(seed)

    def noise(value: Tensor) -> Tensor:
        return torch.randn(value.shape, generator=generator)

    with torch.no_grad():
        for name, value in module.state_dict().items():
            last = name.rsplit(".", 1)[-1]
            if last == "running_var":
                value.copy_((0.5 * noise(value)).exp())
            elif last == "running_mean":
                value.copy_(0.5 * noise(value))
            elif last in ("token", "places"):
                value.copy_(0.02 * noise(value))
            elif last == "bias":
                value.copy_(0.1 * noise(value))
            elif last == "weight" and value.ndim == 1:
                value.copy_((1 + 0.3 * noise(value)).abs() + 0.01)
            elif last == "weight":
                value.copy_(noise(value) * value.std())
    return module.eval()
