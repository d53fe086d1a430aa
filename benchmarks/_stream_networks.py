"""Three networks with normalized residual streams, the data on which they are trained, and how well they do on it."""

import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import weightspace as ws
from weightspace.alignment import Evaluate, classification

WIDTH, HEADS, LAYERS = 64, 4, 3
CONTEXT, BYTES = 64, 128
PATCH, SIDE = 7, 28
HELD_OUT = 10
"""Every tenth source file is for tests only."""


class Attention(nn.Module):
    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            layer(x).reshape(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, WIDTH))


class TransformerBlock(nn.Module):
    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention(causal)
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


@final
class GPT(nn.Module):
    """Causal language model on bytes below 128."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(BYTES, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(TransformerBlock(causal=True) for _ in range(LAYERS)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, BYTES, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token(tokens) + self.place(torch.arange(tokens.shape[1]))
        return self.head(self.norm(self.blocks(x)))


@final
class ViT(nn.Module):
    """Classifier of 28x28 images cut into 7x7 patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, WIDTH, PATCH, PATCH)
        self.place = nn.Parameter(0.02 * torch.randn(1, (SIDE // PATCH) ** 2, WIDTH))
        self.blocks = nn.Sequential(*(TransformerBlock(causal=False) for _ in range(LAYERS)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.place
        return self.head(self.norm(self.blocks(x)).mean(1))


@final
class ResNet18(nn.Module):
    """He et al. 2016, arXiv:1512.03385, table 1, 16 channels wide, on images averaged to 14x14."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        sizes = [width, *(width * 2**stage for stage in range(4) for _ in range(2))]
        blocks = [
            ws.zoo.ResidualBlock(sizes[k], sizes[k + 1], 1 + (sizes[k] < sizes[k + 1])) for k in range(len(sizes) - 1)
        ]
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(sizes[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.norm(self.stem(F.avg_pool2d(x, 2)))))
        return self.head(x.mean((2, 3)))


@final
@dataclass(frozen=True)
class Task:
    """One architecture with its data.

    Attributes:
        build: A network with random weights.
        steps: Of training.
        optimizer: Of a network's parameters; its rate is that after warming up.
        draw: Inputs and targets of one training batch.
        inputs: Training batches for features and statistics.
        evaluate: Loss and accuracy on data for tests.
    """

    build: Callable[[], nn.Module]
    steps: int
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    draw: Callable[[torch.Generator], tuple[Tensor, Tensor]]
    inputs: list[Tensor]
    evaluate: Evaluate


def gpt(_: Path) -> Task:
    """Next byte of the sources of Python's standard library."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [torch.tensor([byte for byte in file.read_bytes() if byte < BYTES]) for file in files]
    train = torch.cat([text for k, text in enumerate(texts) if k % HELD_OUT])
    test = torch.cat(texts[::HELD_OUT])

    def windows(text: Tensor, num: int, generator: torch.Generator) -> Tensor:
        places = torch.randint(len(text) - CONTEXT, (num, 1), generator=generator)
        return text[places + torch.arange(CONTEXT + 1)]

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        found = windows(train, 16, generator)
        return found[:, :-1], found[:, 1:]

    fixed = torch.Generator().manual_seed(0)
    held = windows(test, 256, fixed)
    return Task(
        GPT,
        1200,
        lambda net: torch.optim.AdamW(net.parameters(), 2e-3),
        draw,
        list(windows(train, 256, fixed)[:, :-1].split(64)),
        classification(GPT().eval(), held[:, :-1], held[:, 1:]),
    )


def vit(data: Path) -> Task:
    """Fashion-MNIST with a transformer."""
    return _images(data, ViT, 1500, lambda net: torch.optim.AdamW(net.parameters(), 1e-3))


def resnet18(data: Path) -> Task:
    """Fashion-MNIST with batch normalization."""
    return _images(
        data,
        ResNet18,
        800,
        lambda net: torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=5e-4, nesterov=True),
    )


def _images(
    data: Path, build: Callable[[], nn.Module], steps: int, optimizer: Callable[[nn.Module], torch.optim.Optimizer]
) -> Task:
    images = ws.zoo.load_images("fashion_mnist", data, full_size=True)
    x, y = images.train_x.reshape(-1, 1, SIDE, SIDE), torch.as_tensor(images.train_y).long()

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(x), (64,), generator=generator)
        flip = torch.rand((), generator=generator) < 0.5
        return x[rows].flip(-1) if flip else x[rows], y[rows]

    test_x, test_y = images.test_x.reshape(-1, 1, SIDE, SIDE)[:2000], torch.as_tensor(images.test_y).long()[:2000]
    return Task(
        build,
        steps,
        optimizer,
        draw,
        list(x[:1000].split(250)),
        classification(build().eval(), test_x, test_y),
    )


TASKS: dict[str, Callable[[Path], Task]] = {"gpt": gpt, "vit": vit, "resnet18": resnet18}
