"""Pictures to pictures, and sound: down- and up-sampling, gates along time."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ._registry import Architecture


class ConvolvedPositions(nn.Module):
    """wav2vec 2.0's code of positions: a grouped convolution with one norm per tap, added to what it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Linear(3, 8), nn.LayerNorm(8), nn.Linear(8, 2)
        self.positions = weight_norm(nn.Conv1d(8, 8, 3, padding=1, groups=2), dim=2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        return self.head(self.norm(h + F.gelu(self.positions(h.transpose(1, 2))).transpose(1, 2)))


class UNet(nn.Module):
    """Two levels; the way up is a transposed convolution or bilinear, and reads the way down beside itself."""

    def __init__(self, bilinear: bool) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(5, 6, 3, padding=1)])
        self.middle = nn.Conv2d(6, 7, 3, padding=1)
        wide = (7, 6) if bilinear else (4, 3)
        self.up = nn.ModuleList([] if bilinear else [nn.ConvTranspose2d(7, 4, 2, 2), nn.ConvTranspose2d(6, 3, 2, 2)])
        self.merge = nn.ModuleList([nn.Conv2d(wide[0] + 6, 6, 3, padding=1), nn.Conv2d(wide[1] + 5, 5, 3, padding=1)])
        self.out = nn.Conv2d(5, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for conv in self.down:
            x = F.relu(conv(x))
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = F.relu(self.middle(x))
        for level, merge in enumerate(self.merge):
            x = self.up[level](x) if self.up else F.interpolate(x, scale_factor=2, mode="bilinear")
            x = F.relu(merge(torch.cat([kept[-1 - level], x], dim=1)))
        return self.out(x)


class WaveNet(nn.Module):
    """Dilated causal convolutions, tanh times sigmoid, residual and skip sums (van den Oord et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv1d(1, 5, 1)
        self.filter = nn.ModuleList(nn.Conv1d(5, 6, 2, dilation=2**k) for k in range(2))
        self.gate = nn.ModuleList(nn.Conv1d(5, 6, 2, dilation=2**k) for k in range(2))
        self.residual = nn.ModuleList(nn.Conv1d(6, 5, 1) for _ in range(2))
        self.skip = nn.ModuleList(nn.Conv1d(6, 7, 1) for _ in range(2))
        self.head = nn.ModuleList([nn.Conv1d(7, 4, 1), nn.Conv1d(4, 3, 1)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        total = x.new_zeros(())
        for level in range(2):
            padded = F.pad(x, (2**level, 0))
            z = torch.tanh(self.filter[level](padded)) * torch.sigmoid(self.gate[level](padded))
            x = x + self.residual[level](z)
            total = total + self.skip[level](z)
        return self.head[1](F.relu(self.head[0](F.relu(total))))


class TemporalBlock(nn.Module):
    """TCN's block: two causal convolutions, the padding cut off, and a residual (Bai et al. 2018)."""

    def __init__(self, d: int, m: int, dilation: int) -> None:
        super().__init__()
        self.cut = 2 * dilation
        self.one = nn.Conv1d(d, m, 3, padding=self.cut, dilation=dilation)
        self.two = nn.Conv1d(m, m, 3, padding=self.cut, dilation=dilation)
        self.match = nn.Conv1d(d, m, 1) if d != m else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.one(x)[:, :, : -self.cut])
        y = F.relu(self.two(y)[:, :, : -self.cut])
        return F.relu(y + (x if self.match is None else self.match(x)))


class GatedConv(nn.Module):
    """F.glu over channels of a convolution, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(2, 10, 3, padding=1), nn.Conv1d(5, 12, 3, padding=1)
        self.out = nn.Conv1d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.glu(self.two(F.glu(self.one(x), dim=1)), dim=1))


def audio() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv1d(1, 5, 5, stride=2), nn.BatchNorm1d(5), nn.ReLU(), nn.MaxPool1d(2)),
        *(nn.Conv1d(5, 7, 3), nn.LeakyReLU(0.2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(7, 3)),
    )


def autoencoder() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 5, 3, 2, 1), nn.ReLU(), nn.Conv2d(5, 6, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(24, 4)),
        *(nn.Linear(4, 24), nn.ReLU(), nn.Unflatten(1, (6, 2, 2))),
        *(nn.ConvTranspose2d(6, 5, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(5, 1, 4, 2, 1), nn.Sigmoid()),
    )


def espcn(last: bool) -> nn.Module:
    body = [nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.Conv2d(6, 5, 3, padding=1), nn.ReLU()]
    if last:
        return nn.Sequential(*body, nn.Conv2d(5, 4, 3, padding=1), nn.PixelShuffle(2))
    shuffled = [nn.Conv2d(5, 12, 3, padding=1), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(3, 1, 3, padding=1)]
    return nn.Sequential(*body, *shuffled)


ARCHITECTURES = [
    Architecture(
        "unet_transposed", lambda: UNet(False), ((2, 2, 8, 8),), "5 + 6 + 7, up 4 + 3, merged 6 + 5.", scales=36
    ),
    Architecture("unet_bilinear", lambda: UNet(True), ((2, 2, 8, 8),), "5 + 6 + 7, merged 6 + 5.", scales=29),
    Architecture(
        "grouped_weight_norm", ConvolvedPositions, ((2, 5, 3),), "Gains of the norm 8, lengths of taps 3.", scales=11
    ),
    Architecture("conv1d_audio", audio, ((2, 1, 33),), "3 x 5 + 7.", scales=22),
    Architecture(
        "wavenet",
        WaveNet,
        ((2, 1, 9),),
        "Linear stream 5, skip sum 7, head 4; tanh has a sign.",
        scales=16,
    ),
    Architecture(
        "tcn",
        lambda: nn.Sequential(TemporalBlock(2, 5, 1), TemporalBlock(5, 5, 2), nn.Conv1d(5, 3, 1)),
        ((2, 2, 9),),
        "Stream 5, inside 5 + 5. The first block's two sums and the second's are one stream.",
        scales=15,
    ),
    Architecture(
        "glu_conv", GatedConv, ((2, 2, 7),), "The linear halves: 5 + 6. Halves are permuted together.", scales=11
    ),
    Architecture(
        "autoencoder_transposed",
        autoencoder,
        ((2, 1, 8, 8),),
        "5 + 6, code 4 (linear), 24 with one scale per channel of the transposed convolution: 6; 5.",
        scales=26,
    ),
    Architecture("espcn", lambda: espcn(True), ((2, 1, 6, 6),), "5; tanh has signs.", scales=5),
    Architecture(
        "pixel_shuffle_hidden", lambda: espcn(False), ((2, 1, 5, 5),), "5 + 3: four channels to a neuron.", scales=8
    ),
]
