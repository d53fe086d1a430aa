"""Networks on sets, points and graphs."""

import torch
from torch import Tensor, nn

from ._registry import Architecture
from .dense import mlp


class DeepSets(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.each, self.all = mlp(nn.ReLU, 3, 7, 6), mlp(nn.ReLU, 6, 5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.all(self.each(x).sum(dim=1))


class TNet(nn.Module):
    """A matrix per cloud, the identity plus what a small PointNet says."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.d = d
        self.each, self.all = nn.Conv1d(d, 6, 1), mlp(nn.ReLU, 6, 4, d * d)

    def forward(self, x: Tensor) -> Tensor:
        matrix = self.all(torch.relu(self.each(x)).amax(dim=2)).view(-1, self.d, self.d)
        return torch.bmm((torch.eye(self.d, dtype=x.dtype, device=x.device) + matrix).transpose(1, 2), x)


class PointNet(nn.Module):
    def __init__(self, align: bool) -> None:
        super().__init__()
        self.align = TNet(3) if align else None
        self.each = nn.Sequential(nn.Conv1d(3, 5, 1), nn.BatchNorm1d(5), nn.ReLU(), nn.Conv1d(5, 8, 1))
        self.head = mlp(nn.ReLU, 8, 7, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.align is None else self.align(x)
        return self.head(self.each(x).amax(dim=2))


class GraphConv(nn.Module):
    """Two layers on one fixed graph: every node takes the mean of its neighbours (Kipf & Welling 2017)."""

    def __init__(self) -> None:
        super().__init__()
        ring = torch.eye(5) + torch.eye(5).roll(1, 0) + torch.eye(5).roll(2, 0)
        self.register_buffer("adjacency", ring / 3, persistent=False)
        self.one, self.two = nn.Linear(3, 7), nn.Linear(7, 4)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.adjacency @ self.one(x))
        x = torch.relu(torch.einsum("mn,bnc->bmc", self.adjacency, self.two(x)))
        return self.out(x.mean(dim=1))


class MaskedSum(nn.Module):
    """Weights per element from a softmax over the set, then a sum (attention pooling)."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.score = nn.Linear(3, 7), nn.Linear(7, 1)
        self.head = mlp(nn.ReLU, 7, 5, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.each(x))
        return self.head((self.score(h).softmax(dim=1) * h).sum(dim=1))


ARCHITECTURES = [
    Architecture("deepsets", DeepSets, ((2, 5, 3),), "7 + 5, and the sum's 6 (linear).", scales=18),
    Architecture("pointnet", lambda: PointNet(False), ((2, 3, 9),), "3 x 5, the maximum's 8, and 7.", scales=30),
    Architecture(
        "pointnet_tnet", lambda: PointNet(True), ((2, 3, 9),), "As without, and 6 + 4 in the T-Net.", scales=40
    ),
    Architecture("graph_convolution", GraphConv, ((2, 5, 3),), "7 + 4.", scales=11),
    Architecture("attention_pooling", MaskedSum, ((2, 5, 3),), "7 + 5; the scores undo the scale.", scales=12),
]
