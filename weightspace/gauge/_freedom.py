"""Gauge freedom of one layer: the pairs of diagonal matrices that keep the form of its matrix.

``D_out W D_in^-1`` has the form of ``W`` if all entries that carry one weight are multiplied by one number. With
log-scales ``a`` of rows, ``b`` of columns and ``c`` of weights this reads ``a[row] - b[column] = c[weight]``, an
equation per entry. A bias is a weight that reads a constant 1, whose scale is 1.

Source: Kuipers et al. 2025, arXiv:2510.08300, appendix A (Lemma 1). Our counts differ; see docs/gauge_freedom.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from .._errors import SpecMismatch
from ._elimination import LARGE_PRIME, pivot_columns
from ._layer import Entry, LayerShape

_ZERO = 1e-5
"""Singular values below this part of the largest are zero: the others of small whole numbers are above 1e-3."""


@final
@dataclass(frozen=True)
class Freedom:
    """Dimension of the scaling group of a layer.

    Attributes:
        scales: Of the pairs of diagonal matrices with positive entries (ReLU), or their number of logarithms.
        effective: Of these as they act on the weights; the others multiply every entry by 1.
        signs: Binary logarithm of the number of pairs with entries -1 and 1 (tanh); nonzero entries have both.
        effective_signs: Of the number of changes of sign that these make to the weights.
    """

    scales: int
    effective: int
    signs: int
    effective_signs: int


def layer_freedom(layer: LayerShape) -> Freedom:
    """Dimension of the scaling group, exactly: from the cycles of the graph that joins rows to columns by weights.

    Union-find joins them one entry after the other and keeps each log-scale as a sum of log-scales of weights. An
    entry that joins two pieces fixes one by the other; one that closes a cycle is an equation between weights.
    Every piece has one scale of its own, which moves no weight.
    """
    entries = _equations(layer)
    forest = _Forest(layer.rows + layer.columns + layer.bias)
    cycles: list[Mapping[int, int]] = []
    for row, column, weight in entries:
        cycle = forest.join(row, column, weight)
        if cycle:
            cycles.append(cycle)
    used = len({weight for _, _, weight in entries})
    effective = used - len(pivot_columns(cycles, LARGE_PRIME))
    effective_signs = used - len(pivot_columns(cycles, 2))
    # The scale of the constant that a bias reads is given, and with it that of its piece.
    pieces = forest.pieces - layer.bias
    return Freedom(pieces + effective, effective, pieces + effective_signs, effective_signs)


def null_space_freedom(layer: LayerShape) -> tuple[int, int]:
    """``scales`` and ``effective`` of :func:`layer_freedom`, numerically: by the null space of the constraints.

    Raises:
        SpecMismatch: if singular values leave no clear gap (a factor of 100).
    """
    entries = torch.tensor(_equations(layer), dtype=torch.long).view(-1, 3)
    count = layer.rows + layer.columns + layer.bias
    factors = torch.zeros(len(entries), count, dtype=torch.float64)
    every = torch.arange(len(entries))
    factors[every, entries[:, 0]] = 1
    factors[every, entries[:, 1]] = -1
    # Every entry of a weight is scaled as its first one.
    weights, place = entries[:, 2].unique(return_inverse=True)
    start = torch.full((len(weights),), len(entries)).scatter_reduce(0, place, every, "amin")
    first = factors[start]
    constraints = factors - first[place]
    if layer.bias:
        constraints = torch.cat([constraints, torch.eye(count, dtype=torch.float64)[-1:]])
    # The Gram matrix is small however many entries share a weight; its eigenvalues are the squares.
    values, vectors = torch.linalg.eigh(constraints.T @ constraints)
    null = vectors[:, : count - _rank(values.flip(0).clamp_min(0).sqrt())]
    moved = torch.linalg.svdvals(first @ null)
    return null.shape[1], _rank(moved)


def generic_freedom(layer: LayerShape) -> int:
    """``effective`` in closed form, for an input so large that its ends do not matter.

    Along an axis, outputs read input positions in ``q = stride / gcd(stride, dilation)`` classes that no two of
    its weights of different class share; each class of a kernel has its own scale for every input channel. If two
    weights share a class, scales may also grow geometrically along the axis, unless a bias forbids it.
    """
    classes, ramps = 1, 0
    for k, s, d in zip(layer.kernel, layer.stride, layer.dilation, strict=True):
        q = s // math.gcd(s, d)
        classes *= min(k, q)
        ramps += k > q
    channels = layer.outputs + layer.inputs * classes
    return channels if layer.bias else channels - 1 + ramps


class _Forest:
    """Union-find whose every node knows its log-scale, less that of its root, as a sum of weights' log-scales."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))
        self.above: list[Mapping[int, int]] = [{} for _ in range(count)]
        self.pieces = count

    def find(self, node: int) -> tuple[int, Mapping[int, int]]:
        """The node's root and its log-scale relative to it."""
        path = []
        while self.parent[node] != node:
            path.append(node)
            node = self.parent[node]
        total: Mapping[int, int] = {}
        for below in reversed(path):
            total = _sum(self.above[below], total, 1)
            self.parent[below], self.above[below] = node, total
        return node, total

    def join(self, row: int, column: int, weight: int) -> Mapping[int, int] | None:
        """Set the row's log-scale less the column's to the weight's; the equation of the cycle if they had one."""
        (left, a), (right, b) = self.find(row), self.find(column)
        wanted = _sum(_sum(b, a, -1), {weight: 1}, 1)
        if left == right:
            return wanted
        self.parent[left], self.above[left] = right, wanted
        self.pieces -= 1
        return None


def _sum(one: Mapping[int, int], other: Mapping[int, int], times: int) -> dict[int, int]:
    total = dict(one)
    for key, value in other.items():
        total[key] = total.get(key, 0) + times * value
    return {key: value for key, value in total.items() if value}


def _equations(layer: LayerShape) -> list[Entry]:
    """Entries with columns counted after rows, and those of the bias, which read a last column."""
    entries = [Entry(e.row, layer.rows + e.column, e.weight) for e in layer.entries()]
    if layer.bias:
        positions, last = layer.rows // layer.outputs, layer.rows + layer.columns
        entries += [Entry(row, last, layer.weights + row // positions) for row in range(layer.rows)]
    return entries


def _rank(values: Tensor) -> int:
    """Number of singular values that are not zero."""
    if not len(values):
        return 0
    values = (values / values.max().clamp_min(1e-30)).sort(descending=True).values
    rank = int((values > _ZERO).sum())
    if 0 < rank < len(values) and values[rank - 1] < 100 * values[rank]:
        raise SpecMismatch("the singular values of the constraints have no clear gap; give a smaller layer.")
    return rank
