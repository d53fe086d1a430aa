"""Small networks for merging and barriers: orbit copies, unrelated ones, and trained ones."""

import torch
from torch import Tensor, nn

import weightspace as ws
import weightspace.testing
from weightspace.spec import SymmetrySpec

Params = dict[str, Tensor]


class Residual(nn.Module):
    """Two convolutions around a skip, batch normalization everywhere, ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm0 = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.inner, self.norm1 = nn.Conv2d(4, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.outer, self.norm2 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm0(self.first(x)))
        x = torch.relu(x + self.norm2(self.outer(torch.relu(self.norm1(self.inner(x))))))
        return self.head(x.mean((2, 3)))


def mlp(activation: type[nn.Module]) -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), activation(), nn.Linear(6, 4), activation(), nn.Linear(4, 3))


def case(name: str) -> tuple[nn.Module, Tensor]:
    """A network (float64) and inputs for it."""
    torch.manual_seed(0)
    if name == "residual":
        return Residual().double(), torch.randn(4, 2, 6, 6, dtype=torch.float64)
    kinds = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
    return mlp(kinds[name]).double(), torch.randn(8, 5, dtype=torch.float64)


CASES = ["relu", "tanh", "gelu", "residual"]


def unrelated(spec: SymmetrySpec, num: int, seed: int = 0) -> list[Params]:
    stacked = weightspace.testing.random_params(spec, num, seed=seed, dtype=torch.float64)
    return [{name: value[k] for name, value in stacked.items()} for k in range(num)]


def orbit(params: Params, spec: SymmetrySpec, num: int, seed: int = 0) -> list[Params]:
    """``params`` and copies of it in other gauges."""
    return [params, *(ws.act(ws.sample(spec, seed + k, max_scale=10.0), params, spec) for k in range(1, num))]


def largest_gap(a: Params, b: Params) -> float:
    """Largest difference of two entries, relative to the parameter's largest."""
    floats = [name for name, value in a.items() if value.is_floating_point()]
    return max(float((a[name] - b[name]).abs().max() / a[name].abs().max().clamp_min(1e-30)) for name in floats)


def trained(seed: int, *, norm: bool = False, steps: int = 60) -> tuple[nn.Module, Params]:
    """A small ReLU classifier trained on :func:`blobs`."""
    torch.manual_seed(seed)
    layers = [nn.Linear(6, 10), nn.BatchNorm1d(10)] if norm else [nn.Linear(6, 10)]
    net = nn.Sequential(*layers, nn.ReLU(), nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 4)).double()
    x, y = blobs(512, 0)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net, {name: value.clone() for name, value in net.state_dict().items()}


def blobs(num: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points around eight centres, of four classes."""
    centres = torch.randn(8, 6, generator=torch.Generator().manual_seed(99), dtype=torch.float64) * 2
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(8, (num,), generator=generator)
    return centres[which] + torch.randn(num, 6, generator=generator, dtype=torch.float64), which % 4
