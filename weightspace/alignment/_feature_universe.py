"""Many networks brought to one common place by what their neurons do on data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..gauge import Element, act, compose, stack
from ..gauge.canonical import balance
from ..gauge.index import arrange
from ..gauge.match import Family as Block
from ..gauge.match import Progress, problem, with_inside
from ..spec import SymmetrySpec
from ._batches import Inputs
from ._features import Family, Features, balanced_sizes, blocks, cheapest, features, scale_between
from ._gains import set_upright, without_gain_signs
from ._stacks import wide
from ._universe import MOST_ROUNDS, Universe, check_networks, row, spread

GAIN = 1e-9
"""Smallest gain of a round, relative to the number of neurons, that counts."""


def feature_universe(
    networks: Sequence[Mapping[str, Tensor]],
    spec: SymmetrySpec,
    module: nn.Module,
    inputs: Inputs,
    *,
    progress: Progress | None = None,
) -> Universe:
    """All networks at elements where no single one correlates better with the sum of the others.

    Space by space: the network that correlates best with all others is the first reference; then the neurons of one
    network after the other are assigned to the largest sum of correlations with those of all others that stand at the
    same place (with signs, where these are free), until the total stops rising. Each step is exact. Positive scales
    are those of the balanced gauge; around normalizations they give matched neurons the deviation of the reference's.

    ``totals`` of the result are squared distances of features to their mean, all features with deviation 1.

    Args:
        networks: Parameters of each network, at least one, in the module's number type.
        spec: The symmetry of all.
        module: Their architecture; left as it was.
        inputs: Batches.
        progress: Called with batches seen and, at the end, one more than their number.

    Raises:
        SpecMismatch: if there is no network, one does not fit the spec, is a stack, or has entries that are not finite.
        SpecError: if no space of the spec can be read off a layer.
        ConfigError: if there is no batch.
    """
    check_networks(networks, spec)
    ups = [set_upright(params, spec) for params in networks]
    spec = without_gain_signs(spec)
    balanced, to_balanced = balance(stack([wide(params, spec) for params, _ in ups]), spec)
    num = len(networks)
    run = [
        {name: value.to(params[name].dtype) for name, value in row(balanced, k).items()}
        for k, params in enumerate(networks)
    ]
    keys = {space.name: torch.arange(space.size).double().expand(num, -1) for space in spec.free}
    scale = {space.name: torch.ones(num, space.size, dtype=torch.float64) for space in spec.free}
    settled = balanced_sizes(spec)
    totals: list[list[float]] = []
    references = []
    for block, seen in blocks(spec, features(run, spec, module, inputs, progress)):
        found = _matched(block, seen, spec, num)
        keys |= {root: orders.argsort(-1).double() for root, orders in found.orders.items()}
        for root, family in seen.items():
            orders = found.orders[root]
            for name, own in family.own.items():
                spreads = [own.deviation[k][orders[k]] for k in range(num)]
                signs = found.signs[root] if name == family.signed else _signs(own, orders, found.reference)
                scale[name] = torch.stack(
                    [
                        scale_between(spreads[found.reference], spreads[k], signs[k], spec.space[name], settled)
                        for k in range(num)
                    ]
                )
        totals.append(found.totals)
        references.append(found.reference)
    if progress is not None:
        progress(len(inputs) + 1, len(inputs) + 1)
    elements = Element(arrange(spec, keys, num), scale)
    placed = stack([act(elements[k], row(balanced, k), spec) for k in range(num)])
    far = spread(placed, problem(balanced, balanced, spec))
    most = max(map(len, totals))
    together = tuple(sum(steps[min(step, len(steps) - 1)] for steps in totals) for step in range(most))
    elements = compose(elements, compose(to_balanced, Element.stack([element for _, element in ups])))
    return Universe(elements, placed, far, together, max(set(references), key=references.count))


@final
@dataclass(frozen=True, eq=False)
class _Matching:
    """Networks put in one order.

    Attributes:
        orders: By space, of each network the neuron at each place.
        signs: By space, of each network the signs of these.
        reference: The network that agrees most with all others.
        totals: Squared distances of features to their mean, at first and after each round.
    """

    orders: dict[str, Int[Tensor, "k _n"]]
    signs: dict[str, Float[Tensor, "k _n"]]
    reference: int
    totals: list[float]


def _matched(block: Block, seen: Mapping[str, Family], spec: SymmetrySpec, num: int) -> _Matching:
    """All networks, each put in the order in which it agrees most with the others, heads with what is inside them."""
    here = {root: family.together for root, family in seen.items()}
    sizes = {root: found.deviation.shape[1] for root, found in here.items()}
    orders = {each.space: torch.arange(spec.space[each.space].size).repeat(num, 1) for each in with_inside(block)}
    signs = {root: torch.ones(num, size, dtype=torch.float64) for root, size in sizes.items()}
    if num == 1:
        return _Matching(orders, signs, 0, [0.0])

    def match(k: int, others: Sequence[int]) -> float:
        """Put the neurons of ``k`` where they correlate best with those of others; what is gained."""
        sums = {
            root: torch.stack(
                [signs[root][j].unsqueeze(-1) * here[root].between(j, k)[orders[root][j]] for j in others]
            ).sum(0)
            for root in here
        }
        order = cheapest(block, _agreement(sums, seen), spec)
        chosen = {root: _at(sums[root], order[root]) for root in here}
        sign = {
            root: torch.where(value < 0, -1.0, 1.0).double() if seen[root].signed else torch.ones_like(value)
            for root, value in chosen.items()
        }
        before = sum(float((signs[root][k] * _at(sums[root], orders[root][k])).sum()) for root in here)
        gain = sum(float((sign[root] * chosen[root]).sum()) for root in here) - before
        if not gain > GAIN * sum(sizes.values()):
            return 0.0
        for root in orders:
            orders[root][k] = order[root]
        for root in here:
            signs[root][k] = sign[root]
        return gain

    reference = _central(block, seen, spec, num)
    for k in range(num):
        if k != reference:
            match(k, [reference])
    totals = [sum(_total(here[root], orders[root], signs[root]) for root in here)]
    for _ in range(MOST_ROUNDS):
        gained = sum(match(k, [j for j in range(num) if j != k]) for k in range(num))
        totals.append(totals[-1] - 2 / num * gained)
        if not gained:
            break
    return _Matching(orders, signs, reference, totals)


def _agreement(sums: Mapping[str, Tensor], seen: Mapping[str, Family]) -> dict[str, Float[Tensor, "_n _n"]]:
    """How well neurons go together: sums of correlations, by magnitude where signs are free."""
    return {root: value.abs() if seen[root].signed else value for root, value in sums.items()}


def _at(sums: Float[Tensor, "n n"], order: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Of each place, the entry of the neuron there."""
    return sums.gather(-1, order.unsqueeze(-1))[:, 0]


def _signs(own: Features, orders: Int[Tensor, "k n"], reference: int) -> Float[Tensor, "k n"]:
    """Of each matched neuron, the correlation with that of the reference."""
    return torch.stack(
        [
            torch.ones(orders.shape[1], dtype=torch.float64)
            if k == reference
            else own.between(reference, k)[orders[reference], order]
            for k, order in enumerate(orders)
        ]
    )


def _central(block: Block, seen: Mapping[str, Family], spec: SymmetrySpec, num: int) -> int:
    """The network whose neurons, pair by pair at their best, correlate most with those of all others."""
    best = torch.zeros(num, num, dtype=torch.float64)
    for i, j in combinations(range(num), 2):
        pairs = _agreement({root: family.together.between(i, j) for root, family in seen.items()}, seen)
        order = cheapest(block, pairs, spec)
        best[i, j] = best[j, i] = sum(float(_at(pairs[root], order[root]).sum()) for root in pairs)
    return int(best.sum(1).argmax())


def _total(here: Features, orders: Int[Tensor, "k n"], signs: Float[Tensor, "k n"]) -> float:
    """Squared distances to the mean of features with deviation 1: ``k`` by itself less the norm of the mean."""
    num, size = orders.shape
    inner = sum(
        float((signs[i] * signs[j] * here.between(i, j)[orders[i], orders[j]]).sum()) for i, j in here.correlation
    )
    return (num - 1) * size - 2 / num * inner
