"""Fully connected networks."""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from ._registry import Architecture


def mlp(activation: Callable[[], nn.Module], *widths: int) -> nn.Sequential:
    """Linear layers with the activation between them."""
    layers: list[nn.Module] = []
    for d, m in pairwise(widths):
        layers += [nn.Linear(d, m), activation()]
    return nn.Sequential(*layers[:-1])


class Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(30.0 * x)


class Highway(nn.Module):
    """y = g h(x) + (1 - g) x, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 7)
        self.change = nn.ModuleList(nn.Linear(7, 7) for _ in range(2))
        self.gate = nn.ModuleList(nn.Linear(7, 7) for _ in range(2))
        self.head = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for change, gate in zip(self.change, self.gate, strict=True):
            g = torch.sigmoid(gate(x))
            x = g * torch.relu(change(x)) + (1 - g) * x
        return self.head(x)


class Maxout(nn.Module):
    """Each of 5 neurons is the largest of its 3 pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 5 * 3)
        self.second = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).view(-1, 5, 3).amax(dim=2))


class ConcatenatedReLU(nn.Module):
    """cat(relu(h), relu(-h)) (Shang et al. 2016), read by one Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 6)
        self.second = nn.Linear(12, 5)
        self.third = nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second):
            h = layer(x)
            x = torch.cat([F.relu(h), F.relu(-h)], dim=-1)
        return self.third(x)


class BilinearProduct(nn.Module):
    """Two linear branches, multiplied: (u s)(v / s) is u v."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(4, 7)
        self.right = nn.Linear(4, 7)
        self.out = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.left(x) * self.right(x))


class FiLM(nn.Module):
    """A condition scales and shifts hidden neurons (Perez et al. 2018); two inputs, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 8)
        self.condition = nn.Linear(5, 6)
        self.film = nn.Linear(6, 16)
        self.second = nn.Linear(8, 7)
        self.heads = nn.ModuleList([nn.Linear(7, 2), nn.Linear(7, 4)])

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        gain, shift = self.film(torch.relu(self.condition(condition))).chunk(2, dim=-1)
        h = torch.relu((1 + gain) * self.first(x) + shift)
        h = torch.relu(self.second(h))
        return self.heads[0](h), self.heads[1](h)


class MultiBranch(nn.Module):
    """Branches with unlike activations, concatenated and summed."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 6)
        self.relu = nn.Linear(6, 5)
        self.tanh = nn.Linear(6, 3)
        self.sums = nn.ModuleList([nn.Linear(8, 7), nn.Linear(6, 7)])
        self.out = nn.Linear(7, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        both = torch.cat([torch.relu(self.relu(x)), torch.tanh(self.tanh(x))], dim=-1)
        return self.out(torch.relu(self.sums[0](both) + self.sums[1](x)))


class Siamese(nn.Module):
    """One encoder reads both inputs; their distance, coordinate by coordinate, is read out."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = mlp(nn.ReLU, 4, 7, 5)
        self.out = nn.Linear(5, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.out((self.encoder(a) - self.encoder(b)).abs())


class UnrolledLSTM(nn.Module):
    """An LSTM made of Linear layers; its state and its hidden values start as one tensor of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.step = nn.Linear(3, 4 * 6), nn.Linear(6, 4 * 6, bias=False)
        self.out = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(x.shape[0], 6, dtype=x.dtype, device=x.device)
        for now in x.unbind(1):
            i, f, g, o = (self.read(now) + self.step(h)).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return self.out(h)


class LowRank(nn.Module):
    """A weight plus a product of two thin ones (Hu et al. 2022), added up before it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 2)
        self.down, self.up = nn.Parameter(torch.randn(2, 6)), nn.Parameter(torch.randn(5, 2))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.second.weight + 0.5 * (self.up @ self.down)
        return self.third(F.linear(self.first(x).relu(), weight, self.second.bias).relu())


class MixedAndFlattened(nn.Module):
    """Channels, then tokens are mixed; the head reads the table of both as one axis."""

    def __init__(self) -> None:
        super().__init__()
        self.channels, self.tokens, self.head = nn.Linear(5, 6), nn.Linear(4, 7), nn.Linear(42, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tokens(self.channels(x).relu().mT).relu().flatten(1))


class UnrolledCell(nn.Module):
    """A recurrent cell made of Linear layers, the same at every step."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.read = nn.Linear(3, 6)
        self.step = nn.Linear(6, 6, bias=False)
        self.out = nn.Linear(6, 2)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[0], 6)
        for t in range(x.shape[1]):
            h = self.activation(self.read(x[:, t]) + self.step(h))
        return self.out(h)


class VAE(nn.Module):
    """An encoder with mean and log-variance in one Linear; the code is the mean, or the sum with fixed noise."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = mlp(nn.ReLU, 6, 9, 8)
        self.decoder = mlp(nn.ReLU, 4, 7, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).split(4, dim=-1)
        return self.decoder(mean), mean, log_variance


class VAECode(VAE):
    """Only the reconstruction is returned, from the mean and a fixed part of the deviation."""

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        mean, log_variance = self.encoder(x).split(4, dim=-1)
        return self.decoder(mean + 0.5 * torch.exp(0.5 * log_variance))


class TiedAutoencoder(nn.Module):
    """The decoder is the transpose of the encoder."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(5, 8), nn.Linear(8, 3)
        self.biases = nn.ParameterList([torch.zeros(8), torch.zeros(5)])
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        h = self.activation(self.one(x))
        code = self.two(h)
        h = self.activation(F.linear(code, self.two.weight.t(), self.biases[0]))
        return F.linear(h, self.one.weight.t(), self.biases[1])


class ScalarGains(nn.Module):
    """Learned numbers without an axis between the layers, and one skip with its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 7), nn.Linear(7, 7), nn.Linear(7, 2)])
        self.gains = nn.ParameterList([torch.tensor(1.0) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.gains[0] * self.layers[0](x))
        h = self.gains[2] * h + self.gains[1] * torch.relu(self.layers[1](h))
        return self.layers[2](h)


class BatchNormMLP(nn.Module):
    def __init__(self, affine: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(4, 7),
            nn.BatchNorm1d(7, affine=affine),
            nn.ReLU(),
            nn.Linear(7, 6),
            nn.BatchNorm1d(6, affine=affine),
            nn.ReLU(),
            nn.Linear(6, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Normalized(nn.Module):
    """Vectors over their length times a gain, once with torch's bound below and once without."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 7), nn.Linear(7, 5), nn.Linear(5, 3)
        self.gains = nn.ParameterList([torch.rand(7) + 0.5, torch.rand(5) + 0.5])

    def forward(self, x: Tensor) -> Tensor:
        h = self.second(F.silu(F.normalize(self.first(x), dim=-1) * self.gains[0]))
        return self.third(F.silu(h / h.norm(dim=-1, keepdim=True) * self.gains[1]))


def layer_norm_mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 7), nn.LayerNorm(7), nn.ReLU(), nn.Linear(7, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 3)
    )


def weight_norm_mlp() -> nn.Module:
    layers = (nn.Linear(4, 7), nn.Linear(7, 5), nn.Linear(5, 3))
    first, second, third = (parametrizations.weight_norm(layer) for layer in layers)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)


def prelu(per_neuron: bool) -> nn.Module:
    one, two = (nn.PReLU(7), nn.PReLU(5)) if per_neuron else (nn.PReLU(), nn.PReLU())
    return nn.Sequential(nn.Linear(4, 7), one, nn.Linear(7, 5), two, nn.Linear(5, 3))


ARCHITECTURES = [
    Architecture("mlp_relu", lambda: mlp(nn.ReLU, 4, 7, 6, 3), ((2, 4),), "Positive scales: 7 + 6.", scales=13),
    Architecture("mlp_tanh", lambda: mlp(nn.Tanh, 4, 7, 6, 3), ((2, 4),), "Signs only: 0.", scales=0),
    Architecture("mlp_gelu", lambda: mlp(nn.GELU, 4, 7, 6, 3), ((2, 4),), "Permutations only: 0.", scales=0),
    Architecture("mlp_leaky", lambda: mlp(lambda: nn.LeakyReLU(0.1), 4, 7, 6, 3), ((2, 4),), "7 + 6.", scales=13),
    Architecture(
        "mlp_identity",
        lambda: mlp(nn.Identity, 4, 7, 6, 3),
        ((2, 4),),
        "Nonzero scales: 7 + 6. At one point more: what a bias loses there, the next bias can restore.",
        scales=13,
    ),
    Architecture("siren", lambda: mlp(Sine, 2, 7, 6, 3), ((2, 2),), "Signs (and phases): 0.", scales=0),
    Architecture(
        "mlp_abs",
        lambda: mlp(lambda: Lambda(torch.abs), 4, 7, 6, 3),
        ((2, 4),),
        "Even: 7 + 6 positive; signs apart.",
        scales=13,
    ),
    Architecture(
        "mlp_square",
        lambda: mlp(lambda: Lambda(torch.square), 4, 7, 6, 3),
        ((2, 4),),
        "Fan-in s, fan-out 1/s^2: 7 + 6. The scale is squared on its way.",
        scales=13,
    ),
    Architecture(
        "mlp_prelu", lambda: prelu(True), ((2, 4),), "As ReLU, 7 + 5; the slope is permuted, not scaled.", scales=12
    ),
    Architecture("mlp_prelu_shared", lambda: prelu(False), ((2, 4),), "7 + 5; one slope for all.", scales=12),
    Architecture(
        "highway",
        Highway,
        ((2, 3),),
        "The carry ties all streams into one space: 7. ReLU and the gated sum pass its scales; the gate has none.",
        scales=7,
    ),
    Architecture("maxout", Maxout, ((2, 4),), "5 positive scales, each over the three pieces of a neuron.", scales=5),
    Architecture("crelu", ConcatenatedReLU, ((2, 3),), "6 + 5; the fan-out is two copies of the space.", scales=11),
    Architecture(
        "bilinear_product",
        BilinearProduct,
        ((2, 4),),
        "Both factors and the fan-out: two independent nonzero scales per neuron, 2 x 7.",
        scales=14,
    ),
    Architecture(
        "film",
        FiLM,
        ((2, 3), (2, 5)),
        "6 (condition) + 7 (second). 1 + gain pins the gain; the modulated neurons scale with their shift: 8.",
        scales=21,
    ),
    Architecture(
        "multi_branch", MultiBranch, ((2, 4),), "6 (stem) + 5 (relu branch) + 7 (the sum); tanh: 0.", scales=18
    ),
    Architecture("siamese", Siamese, ((2, 4), (2, 4)), "7 + 5: |a - b| passes positive scales.", scales=12),
    Architecture(
        "unrolled_cell_relu", lambda: UnrolledCell(torch.relu), ((2, 5, 3),), "6, one group at every step.", scales=6
    ),
    Architecture("unrolled_cell_tanh", lambda: UnrolledCell(torch.tanh), ((2, 5, 3),), "Signs: 0.", scales=0),
    Architecture("unrolled_lstm", UnrolledLSTM, ((2, 3, 3),), "Signs: 0.", scales=0),
    Architecture("low_rank_update", LowRank, ((2, 4),), "6 + 5, and the thin weights' 2.", scales=13),
    Architecture(
        "mixed_and_flattened", MixedAndFlattened, ((2, 4, 5),), "The tokens' 7, and 1 between both.", scales=8
    ),
    Architecture(
        "weight_norm_whole",
        lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), parametrizations.weight_norm(nn.Linear(5, 2), dim=None)),
        ((2, 4),),
        "One length for all: 1 for all neurons together.",
        scales=1,
    ),
    Architecture("vae", VAE, ((2, 6),), "The code is returned, hence fixed: 9 + 7.", scales=16),
    Architecture("vae_code", VAECode, ((2, 6),), "exp pins the deviation, and the sum its mean: 9 + 7.", scales=16),
    Architecture(
        "tied_autoencoder",
        lambda: TiedAutoencoder(torch.relu),
        ((2, 5),),
        "8: what the encoder multiplies, its transpose divides by. The code meets its own transpose: signs only.",
        scales=8,
    ),
    Architecture(
        "scalar_gains", ScalarGains, ((2, 3),), "7: the skip ties the first and second layer's neurons.", scales=7
    ),
    Architecture(
        "batchnorm_mlp",
        lambda: BatchNormMLP(True),
        ((2, 4),),
        "Input, variance and output of each norm: 3 x (7 + 6).",
        scales=39,
    ),
    Architecture(
        "batchnorm_mlp_plain",
        lambda: BatchNormMLP(False),
        ((2, 4),),
        "Without gains the output's scale is that of the input over that of the deviation: 2 x (7 + 6).",
        scales=26,
    ),
    Architecture(
        "layernorm_mlp",
        layer_norm_mlp,
        ((2, 4),),
        "The first norm's gains are followed by ReLU, 7; the second's by GELU.",
        scales=7,
    ),
    Architecture(
        "normalized_mlp",
        Normalized,
        ((2, 4),),
        "One length of what each norm reads: 1 + 1, the first as long as it is above torch's bound of 1e-12.",
        scales=2,
    ),
    Architecture(
        "weight_norm_mlp",
        weight_norm_mlp,
        ((2, 4),),
        "The rows of the directions have no length: 7 + 5 + 3. Their columns cannot take up a neuron's 1/s; the "
        "next lengths take up one for all neurons: 1 + 1.",
        scales=17,
    ),
]
