"""Convolutional classifiers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._registry import Architecture


def conv_norm(d: int, m: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, then batch norm."""
    conv = nn.Conv2d(d, m, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(m))


class Head(nn.Module):
    """Global average pooling and a Linear."""

    def __init__(self, d: int, m: int = 3) -> None:
        super().__init__()
        self.fc = nn.Linear(d, m)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class BasicBlock(nn.Module):
    """ResNet's block; the shortcut is the identity, a projection or (option A) subsampling with added zeros."""

    def __init__(self, d: int, m: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.one, self.two = conv_norm(d, m, stride=stride), conv_norm(m, m)
        self.project = conv_norm(d, m, 1, stride) if shortcut == "project" else None
        self.pad = m - d if shortcut == "zeros" else 0

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(F.relu(self.one(x)))
        if self.project is not None:
            x = self.project(x)
        elif self.pad:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad // 2, self.pad - self.pad // 2))
        return F.relu(x + y)


class Bottleneck(nn.Module):
    def __init__(self, d: int, width: int, m: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.one, self.two = conv_norm(d, width, 1), conv_norm(width, width, 3, stride, groups)
        self.three = conv_norm(width, m, 1)
        self.project = conv_norm(d, m, 1, stride) if d != m else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.two(F.relu(self.one(x))))
        return F.relu(self.project(x) + self.three(y))


class PreActivation(nn.Module):
    """Norm and ReLU come before each convolution, the sum is left linear (He et al. 2016b)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(d) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(d, d, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.relu(norm(y)))
        return x + y


class DenseBlock(nn.Module):
    """Each layer reads everything before it (Huang et al. 2017)."""

    def __init__(self, d: int, growth: tuple[int, ...]) -> None:
        super().__init__()
        self.norms, self.convs = nn.ModuleList(), nn.ModuleList()
        for width in growth:
            self.norms.append(nn.BatchNorm2d(d))
            self.convs.append(nn.Conv2d(d, width, 3, padding=1, bias=False))
            d += width

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(F.relu(norm(torch.cat(features, dim=1)))))
        return torch.cat(features, dim=1)


class SqueezeExcite(nn.Module):
    def __init__(self, d: int, squeezed: int, inner: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(d, squeezed, 1), nn.Conv2d(squeezed, d, 1)
        self.inner, self.gate = inner, gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.up(self.inner(self.down(x.mean((2, 3), keepdim=True)))))


class InvertedResidual(nn.Module):
    """Expand, depthwise, (excite,) project; a residual where shapes allow."""

    def __init__(self, d: int, wide: int, m: int, act: type[nn.Module], excite: nn.Module | None = None) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_norm(d, wide, 1),
            act(),
            conv_norm(wide, wide, 3, groups=wide),
            act(),
            excite or nn.Identity(),
            conv_norm(wide, m, 1),
        )
        self.skip = d == m

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.skip else self.body(x)


class ShuffleBlock(nn.Module):
    """ShuffleNet's unit: grouped 1x1, channel shuffle, depthwise, grouped 1x1, residual."""

    def __init__(self, d: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.one = conv_norm(d, d, 1, groups=groups)
        self.two = conv_norm(d, d, 3, groups=d)
        self.three = conv_norm(d, d, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.one(x))
        b, c, h, w = y.shape
        y = y.view(b, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(b, c, h, w)
        return F.relu(x + self.three(self.two(y)))


class Inception(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(d, 3, 1)
        self.b = nn.Sequential(nn.Conv2d(d, 4, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1))
        self.c = nn.Sequential(nn.Conv2d(d, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 5, padding=2))
        self.d = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(d, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(torch.cat([self.a(x), self.b(x), self.c(x), self.d(x)], dim=1))


class Fire(nn.Module):
    def __init__(self, d: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(d, squeeze, 1)
        self.one, self.three = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], dim=1)


class CBAM(nn.Module):
    """Channel gates from mean and maximum through one shared MLP, then one gate per place (Woo et al. 2018)."""

    def __init__(self, d: int, squeezed: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(d, squeezed, 1), nn.Conv2d(squeezed, d, 1)
        self.place = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        mean, top = (self.up(F.relu(self.down(pool(x, 1)))) for pool in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d))
        x = x * torch.sigmoid(mean + top)
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.place(both))


def vgg() -> nn.Module:
    def layer(d: int, m: int) -> list[nn.Module]:
        return [nn.Conv2d(d, m, 3, padding=1), nn.BatchNorm2d(m), nn.ReLU()]

    features = [*layer(2, 5), *layer(5, 6), nn.MaxPool2d(2), *layer(6, 7), nn.MaxPool2d(2)]
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(28, 9), nn.ReLU(), nn.Dropout(), nn.Linear(9, 3))


def stem(*body: nn.Module, d: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, d, 3, padding=1), nn.ReLU(), *body)


def resnet20(shortcut: str) -> nn.Module:
    blocks = (BasicBlock(5, 5, 1, "same"), BasicBlock(5, 8, 2, shortcut), BasicBlock(8, 8, 1, "same"))
    return nn.Sequential(conv_norm(3, 5), nn.ReLU(), *blocks, Head(8))


def mobile_v3() -> nn.Module:
    excite = SqueezeExcite(9, 4, nn.ReLU(), nn.Hardsigmoid())
    block = InvertedResidual(5, 9, 5, nn.Hardswish, excite)
    return nn.Sequential(conv_norm(3, 5), nn.Hardswish(), block, Head(5))


def efficient() -> nn.Module:
    excite = SqueezeExcite(9, 3, nn.SiLU(), nn.Sigmoid())
    return nn.Sequential(conv_norm(3, 4), nn.SiLU(), InvertedResidual(4, 9, 6, nn.SiLU, excite), nn.SiLU(), Head(6))


def conv_net(norm: type[nn.Module] | None = None, **options: bool) -> nn.Module:
    def after(d: int) -> nn.Module:
        if norm is nn.GroupNorm:
            return nn.GroupNorm(d // 2, d)
        return nn.Identity() if norm is None else norm(d, **options)

    one, two = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
    return nn.Sequential(one, after(6), nn.ReLU(), nn.AvgPool2d(2), two, after(8), nn.ReLU(), Head(8))


def dilated() -> nn.Module:
    convs = [nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(5, 6, 3, padding=2, dilation=2), nn.Conv2d(6, 3, 1)]
    return nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2])


def volumes() -> nn.Module:
    one, two = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 5, 2)
    return nn.Sequential(
        one, nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2), two, nn.ReLU(), nn.Flatten(), nn.Linear(5, 3)
    )


def global_pool() -> nn.Module:
    convs = [nn.Conv2d(2, 5, 1), nn.Conv2d(5, 7, 1)]
    return nn.Sequential(
        convs[0], nn.ReLU(), convs[1], nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(7, 3)
    )


IMAGE = ((2, 3, 6, 6),)


class Patches(nn.Module):
    """Overlapping windows of hidden channels, a layer on each, put back and added up, as in VOLO and T2T."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inside, self.back = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(12, 5), nn.Linear(5, 16)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        windows = F.unfold(F.relu(self.first(x)), 2, stride=2).transpose(1, 2)
        windows = self.back(F.relu(self.inside(windows))).transpose(1, 2)
        return self.last(F.relu(F.fold(windows, x.shape[2:], 2, stride=2)))


class SplitAttention(nn.Module):
    """Two groups of channels, weighed against each other channel by channel and added up (ResNeSt)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 3, groups=2, bias=False)
        self.squeeze, self.weigh, self.head = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 16, 1), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(torch.relu(self.stem(x))))
        x = x.reshape(x.shape[0], 2, 8, *x.shape[2:])
        gap = x.sum(1).mean((2, 3), keepdim=True)
        scores = self.weigh(torch.relu(self.squeeze(gap))).view(-1, 1, 2, 8).transpose(1, 2).softmax(1)
        return self.head((x * scores.reshape(-1, 2, 8, 1, 1)).sum(1).mean((2, 3)))


ARCHITECTURES = [
    Architecture("unfold_and_fold", Patches, ((2, 2, 4, 4),), "3, 5 and 4.", scales=12),
    Architecture("split_attention", SplitAttention, ((2, 3, 5, 5),), "8, the groups' common 8, and 4.", scales=20),
    Architecture(
        "vgg_bn",
        vgg,
        ((2, 2, 8, 8),),
        "A norm has three scales per channel: of its input (with the running mean), of v + eps alone (taken up by its "
        "gain), and of its output. 3 x (5 + 6 + 7), and 9 in the head.",
        scales=63,
    ),
    Architecture(
        "resnet20_projection",
        lambda: resnet20("project"),
        ((2, 3, 8, 8),),
        "2 x 55 for the norms' inputs and variances, streams 5 + 8, inside the blocks 5 + 8 + 8.",
        scales=144,
    ),
    Architecture(
        "resnet20_option_a",
        lambda: resnet20("zeros"),
        ((2, 3, 8, 8),),
        "2 x 47 for the norms; 5 in both streams (the shortcut ties them), 3 new channels, inside 5 + 8 + 8.",
        scales=123,
    ),
    Architecture(
        "resnet_bottleneck",
        lambda: stem(Bottleneck(6, 4, 9), Bottleneck(9, 5, 9, 1), Head(9), d=6),
        IMAGE,
        "2 x 45 for the norms, streams 6 + 9, inside the blocks 4 + 4 + 5 + 5.",
        scales=123,
    ),
    Architecture(
        "resnet_preactivation",
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), PreActivation(6), PreActivation(6), nn.BatchNorm2d(6), nn.ReLU(), Head(6)
        ),
        IMAGE,
        "One stream 6, which the norms take up; variance and output of five norms 2 x 30; between conv and norm 6 + 6.",
        scales=78,
    ),
    Architecture(
        "densenet_block",
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), DenseBlock(4, (3, 5)), nn.BatchNorm2d(12), nn.ReLU(), Head(12)
        ),
        IMAGE,
        "Streams 4 + 3 + 5; variance and output of the norms 2 x (4 + 7 + 12).",
        scales=58,
    ),
    Architecture(
        "mobilenet_v2",
        lambda: nn.Sequential(
            conv_norm(3, 5),
            nn.ReLU6(),
            InvertedResidual(5, 9, 5, nn.ReLU6),
            InvertedResidual(5, 7, 6, nn.ReLU6),
            Head(6),
        ),
        IMAGE,
        "2 x 48 for the norms, and the last stream 6, which no ReLU6 follows.",
        scales=102,
    ),
    Architecture(
        "mobilenet_v3",
        mobile_v3,
        IMAGE,
        "2 x 28 for the norms, and the squeezed 4. Hardswish pins the rest.",
        scales=60,
    ),
    Architecture("efficientnet_block", efficient, IMAGE, "2 x 28 for the norms. SiLU pins the rest.", scales=56),
    Architecture(
        "resnext",
        lambda: stem(Bottleneck(6, 8, 6, groups=4), Head(6), d=6),
        IMAGE,
        "2 x 22 for the norms, stream 6, inside 8 + 8. The four groups are permuted, and the two neurons in each.",
        scales=66,
    ),
    Architecture(
        "shufflenet",
        lambda: stem(ShuffleBlock(6, 3), Head(6), d=6),
        IMAGE,
        "2 x 18 for the norms, stream 6, after the first two norms 6 + 6 (nothing follows the second).",
        scales=54,
    ),
    Architecture("inception", lambda: stem(Inception(6), Head(13), d=6), IMAGE, "6 + 13 + (4 + 2) inside.", scales=25),
    Architecture(
        "squeezenet_fire",
        lambda: stem(Fire(6, 3, 5), Fire(10, 4, 3), Head(6), d=6),
        IMAGE,
        "6 + (3 + 10) + (4 + 6).",
        scales=29,
    ),
    Architecture(
        "cbam",
        lambda: stem(nn.Conv2d(5, 8, 3, padding=1), nn.ReLU(), CBAM(8, 3), Head(8), d=5),
        IMAGE,
        "5 + 3, and 1: the means and maxima over channels let the attended 8 be scaled together only.",
        scales=9,
    ),
    Architecture("batchnorm_cnn", lambda: conv_net(nn.BatchNorm2d), ((2, 2, 6, 6),), "3 x (6 + 8).", scales=42),
    Architecture(
        "groupnorm_cnn",
        lambda: conv_net(nn.GroupNorm),
        ((2, 2, 6, 6),),
        "After the norms: 6 + 8. The eps keeps groups from being scaled before.",
        scales=14,
    ),
    Architecture(
        "instancenorm_cnn", lambda: conv_net(nn.InstanceNorm2d, affine=True), ((2, 2, 6, 6),), "6 + 8.", scales=14
    ),
    Architecture(
        "instancenorm_running",
        lambda: conv_net(nn.InstanceNorm2d, affine=True, track_running_stats=True),
        ((2, 2, 6, 6),),
        "In eval mode a batch norm: 3 x (6 + 8).",
        scales=42,
    ),
    Architecture("dilated_cnn", dilated, ((2, 2, 7, 7),), "5 + 6; the last, 1x1, writes the outputs.", scales=11),
    Architecture("conv3d", volumes, ((2, 1, 4, 4, 4),), "3 x 4 + 5.", scales=17),
    Architecture("conv_1x1_global_max", global_pool, ((2, 2, 5, 5),), "5 + 7.", scales=12),
    Architecture("conv_plain", conv_net, ((2, 2, 6, 6),), "6 + 8.", scales=14),
]
