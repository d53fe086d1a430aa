"""Which neuron of one network is which of another that is nearly the same: order and signs, without sorting either.

A space is matched by the rows of its neurons, from the inputs on: what is settled already (or fixed) keeps its order
in a row, what is not is compared by sorted magnitudes. Blocks cost what the best match of their insides costs, so heads
and their coordinates, or groups and their channels, are settled together. Then all spaces are matched again by full
rows until nothing changes.

Source: alternating assignments as in Ainsworth et al. 2022, arXiv:2209.04836 (algorithm 1). Ours: the start from the
inputs with sorted magnitudes, several signs per neuron, blocks.
"""

import itertools
import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .._types import Params
from ..spec import NeuronSpace, SymmetrySpec
from ._act import act
from ._element import Element, compose, identity
from ._rows import Rows, movers, rows_of
from .index import arrange, has_own_order

PASSES = 10


@final
@dataclass(frozen=True, eq=False)
class _Pair:
    """Two networks under way, and what is settled about the places and signs of their neurons."""

    left: Params
    right: Params
    spec: SymmetrySpec
    rows: dict[str, list[Rows]]
    placed: set[str]
    signed: set[str]

    def read(self, rows: Rows, size: int) -> list[Float[Tensor, "n _k"]]:
        return [rows.read(network[rows.name], size, self.placed, self.signed) for network in (self.left, self.right)]


def matched(left: Params, right: Params, spec: SymmetrySpec) -> Element:
    """The element of permutations and signs that brings ``left`` near ``right``; scales are balanced already."""
    fixed = {space.name for space in spec.spaces if space.fixed}
    pair = _Pair(dict(left), right, spec, rows_of(spec), set(fixed), set(fixed))
    roots = [space for space in spec.spaces if not (space.like or space.within)]
    trees = [(root, [name for name in pair.rows if spec.ancestors(name)[-1] == root.name]) for root in roots]
    element = identity(spec)
    for _ in range(PASSES):
        before = element
        for root, members in trees:
            moved = [name for name in pair.rows if movers(spec, name) & set(members)]
            touched = {rows.name for name in moved for rows in pair.rows[name]}
            part = SymmetrySpec(spec.spaces, tuple(item for item in spec.params if item[0] in touched))
            for find, settled in ((_order, pair.placed), (_signs, pair.signed)):
                step = find(pair, root, members)
                pair.left.update(act(step, {name: pair.left[name] for name in part.axes}, part))
                element = compose(step, element)
                settled.update(members)
        if _equal(before, element):
            break
    return element


def _equal(one: Element, other: Element) -> bool:
    parts = ((one.perm, other.perm), (one.scale, other.scale))
    return all(torch.equal(here[name], there[name]) for here, there in parts for name in here)


def _order(pair: _Pair, root: NeuronSpace, _: list[str]) -> Element:
    """The permutation of the space and of all blocks in it that makes rows most alike."""
    spec = pair.spec
    keys = {space.name: torch.arange(space.size, dtype=torch.float64) for space in spec.free if has_own_order(space)}
    costs: dict[str, Tensor] = {}
    total = _cost(pair, root, costs)
    still = torch.arange(root.size)
    _place(spec, root, _assigned(total) if has_own_order(root) else still, costs, keys)
    perm = arrange(spec, {name: key.unsqueeze(0) for name, key in keys.items()}, 1)
    return Element({name: value[0] for name, value in perm.items()}, identity(spec).scale)


def _cost(pair: _Pair, space: NeuronSpace, costs: dict[str, Tensor]) -> Float[Tensor, "n n"]:
    """What it costs to put a neuron of the left network (column) in the place of one of the right (row)."""
    if space.name in costs:
        return costs[space.name]
    total = _own_cost(pair, space)
    for child in pair.spec.spaces:
        if child.like:
            continue
        if child.within and pair.spec.root(child.within) == space.name:
            moves = has_own_order(child) or (child.along is not None and child.along not in pair.placed)
            total = total + _folded(_cost(pair, child, costs), space.size, moves)
        if child.along == space.name:  # neurons at one place of every block
            inside = child.size // pair.spec.space[str(child.within)].size
            table = _cost(pair, child, costs)
            for dim in (0, 1):
                table = table.unflatten(dim, (space.size // inside, -1, inside)).transpose(dim + 1, dim + 2)
                table = table.flatten(dim, dim + 2)
            total = total + _folded(table, space.size, child.within not in pair.placed)
    costs[space.name] = total
    return total


def _own_cost(pair: _Pair, space: NeuronSpace) -> Float[Tensor, "n n"]:
    """Squared distances of rows, every parameter in units of its size, with the signs that make them smallest."""
    total = torch.zeros((space.size, space.size), dtype=torch.float64)
    products: dict[frozenset[str], Tensor] = {frozenset(): torch.zeros_like(total)}
    for rows in pair.rows[space.name] if not space.fixed else ():
        left, right = pair.read(rows, space.size)
        size = right.square().mean() if right.numel() else 0.0
        if not rows.moves or not size > 0:
            continue
        total = total + (right.square().sum(1)[:, None] + left.square().sum(1)) / size
        # Rows without signs say nothing about them.
        signs = rows.signs if rows.whole(pair.placed, pair.signed) else frozenset()
        products[signs] = products.get(signs, 0.0) + right @ left.T / size
    return total - 2 * _best_signs(products)[0]


def _best_signs(products: dict[frozenset[str], Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """The largest sum of products over all signs of the spaces, and these signs."""
    names = sorted(frozenset().union(*products))
    sums, choices = [], list(itertools.product((1.0, -1.0), repeat=len(names)))
    for choice in choices:
        sign = dict(zip(names, choice, strict=True))
        sums.append(sum(math.prod(sign[name] for name in spaces) * value for spaces, value in products.items()))
    best, place = torch.stack(sums).max(0)
    table = torch.tensor(choices, dtype=torch.float64)[place]
    return best, {name: table[..., k] for k, name in enumerate(names)}


def _folded(cost: Float[Tensor, "m m"], blocks: int, moves: bool) -> Float[Tensor, "n n"]:
    """What it costs to put a block in the place of another: its neurons in their places, or as they fit best."""
    table = cost.unflatten(1, (blocks, -1)).unflatten(0, (blocks, -1)).transpose(1, 2)
    if not moves or table.shape[-1] == 1:
        return table.diagonal(dim1=-2, dim2=-1).sum(-1)
    sums = [float(inner.gather(1, _assigned(inner)[:, None]).sum()) for inner in table.flatten(0, 1)]
    return torch.tensor(sums, dtype=torch.float64).view(blocks, blocks)


def _assigned(cost: Float[Tensor, "n n"]) -> Int[Tensor, " n"]:
    """For every row its column in the cheapest assignment."""
    return torch.as_tensor(linear_sum_assignment(cost.numpy())[1])


def _place(
    spec: SymmetrySpec, space: NeuronSpace, order: Tensor, costs: dict[str, Tensor], keys: dict[str, Tensor]
) -> None:
    """Notes for each neuron of the space, and of the blocks in it, where it goes; ``order`` says what comes where."""
    if space.name in keys:
        keys[space.name][order] = torch.arange(space.size, dtype=torch.float64)
    for child in spec.spaces:
        if child.like or not child.within or spec.root(child.within) != space.name:
            continue
        size = child.size // space.size
        inner = torch.arange(size).expand(space.size, size)
        if has_own_order(child):
            table = costs[child.name].unflatten(1, (-1, size)).unflatten(0, (-1, size)).transpose(1, 2)
            inner = torch.stack([_assigned(table[there, here]) for there, here in enumerate(order.tolist())])
        _place(spec, child, (order[:, None] * size + inner).flatten(), costs, keys)


def _signs(pair: _Pair, _: NeuronSpace, members: list[str]) -> Element:
    """The signs of all neurons of the spaces that make rows most alike, where rows say so."""
    scale = dict(identity(pair.spec).scale)
    for name in members:
        size = pair.spec.space[name].size
        products: dict[frozenset[str], Tensor] = {}
        for rows in pair.rows[name]:
            if rows.signs and rows.whole(pair.placed, pair.signed):
                left, right = pair.read(rows, size)
                unit = right.square().mean().clamp_min(1e-300)
                products[rows.signs] = products.get(rows.signs, 0.0) + (left * right).sum(1) / unit
        if products:
            scale |= _best_signs(products)[1]
    return Element(identity(pair.spec).perm, scale)
