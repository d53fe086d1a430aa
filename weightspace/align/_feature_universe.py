"""Many networks brought to one common place by what their neurons do on data."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..gauge import Element, act, compose, stack
from ..gauge.canonical import arrange
from ..spec import SymmetrySpec
from ._align import Progress, _balanced
from ._assign import assign
from ._descent import problem
from ._features import Features, features, scale_between
from ._universe import MOST_ROUNDS, Universe, at, check_networks, row, spread, stacked, wide

GAIN = 1e-9
"""Smallest gain of a round, relative to the number of neurons, that counts."""


def feature_universe(
    networks: Sequence[Mapping[str, Tensor]],
    spec: SymmetrySpec,
    module: nn.Module,
    inputs: Sequence[Tensor],
    *,
    progress: Progress | None = None,
) -> Universe:
    """All networks at elements where no single one correlates better with the sum of the others.

    Order by order: the network that correlates best with all others is the first reference; then the neurons of one
    network after the other are assigned to the largest sum of correlations with those of all others that stand at the
    same place (with signs, where these are free), until the total stops rising. Each step is exact. Positive scales
    give matched neurons the deviation of the reference's. Scales that are not read off features are balanced first.
    Features are those of :func:`weightspace.align.match_activations`.

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
    balanced, to_balanced = _balanced(stack([wide(params, spec) for params in networks]), spec, single=False)
    num = len(networks)
    run = [
        {name: value.to(params[name].dtype) for name, value in row(balanced, k).items()}
        for k, params in enumerate(networks)
    ]
    keys = {space.name: torch.arange(space.size).double().expand(num, -1) for space in spec.free}
    scale = {space.name: torch.ones(num, space.size, dtype=torch.float64) for space in spec.free}
    found = features(run, spec, module, inputs, progress)
    totals: list[list[float]] = []
    references = []
    for root, family in found.items():
        guides = [one for one in family if one.guides]
        orders, signs, reference, steps = matched(guides, num)
        keys[root] = orders.argsort(-1).double()
        for one in family:
            if one.space.scale == "trivial":
                continue
            sign = signs[guides.index(one)] if one.guides else _signs(one, orders, reference)
            spreads = one.deviation.gather(1, orders)
            scales = [scale_between(spreads[reference], spreads[k], sign[k], one) for k in range(num)]
            scale[one.space.name] = torch.stack(scales)
        totals.append(steps)
        references.append(reference)
    if progress is not None:
        progress(len(inputs) + 1, len(inputs) + 1)
    elements = Element(arrange(spec, keys, num), scale)
    placed = stacked([act(at(elements, k), row(balanced, k), spec) for k in range(num)])
    far = spread(placed, problem(balanced, balanced, spec))
    most = max(map(len, totals))
    together = tuple(sum(steps[min(step, len(steps) - 1)] for steps in totals) for step in range(most))
    return Universe(compose(elements, to_balanced), placed, far, together, max(set(references), key=references.count))


def matched(
    guides: Sequence[Features], num: int
) -> tuple[Int[Tensor, "k n"], list[Float[Tensor, "k n"]], int, list[float]]:
    """Of each network the neuron at each place, and by guide its sign; the reference; the totals after each round.

    Args:
        guides: Features of spaces that share an order.
        num: Networks.
    """
    size = guides[0].deviation.shape[1]
    orders = torch.arange(size).repeat(num, 1)
    signs = [torch.ones(num, size, dtype=torch.float64) for _ in guides]
    if num == 1:
        return orders, signs, 0, [0.0]

    def match(k: int, others: Sequence[int]) -> float:
        """Put the neurons of ``k`` where they correlate best with those of others; what is gained."""
        sums = [
            sum((sign[j].unsqueeze(-1) * one.between(j, k)[orders[j]] for j in others), start=torch.zeros(size, size))
            for one, sign in zip(guides, signs, strict=True)
        ]
        agreements = [value.abs() if one.signed else value for one, value in zip(guides, sums, strict=True)]
        order = assign(-torch.stack(agreements).sum(0))
        before = sum(
            float((sign[k] * value.gather(1, orders[k].unsqueeze(1))[:, 0]).sum())
            for sign, value in zip(signs, sums, strict=True)
        )
        gain = sum(float(value.gather(1, order.unsqueeze(1)).sum()) for value in agreements) - before
        if gain <= GAIN * size:
            return 0.0
        orders[k] = order
        for one, sign, value in zip(guides, signs, sums, strict=True):
            chosen = value.gather(1, order.unsqueeze(1))[:, 0]
            sign[k] = torch.where(chosen < 0, -1.0, 1.0) if one.signed else 1.0
        return gain

    reference = _central(guides, num)
    for k in range(num):
        if k != reference:
            match(k, [reference])
    totals = [_total(guides, orders, signs)]
    for _ in range(MOST_ROUNDS):
        gained = sum(match(k, [j for j in range(num) if j != k]) for k in range(num))
        totals.append(totals[-1] - 2 / num * gained)
        if not gained:
            break
    return orders, signs, reference, totals


def _signs(one: Features, orders: Int[Tensor, "k n"], reference: int) -> Float[Tensor, "k n"]:
    """Of features that say nothing about the order, their correlation with the reference's in the order found."""
    rows = [
        torch.ones(orders.shape[1], dtype=torch.float64)
        if k == reference
        else one.between(reference, k)[orders[reference], orders[k]]
        for k in range(len(orders))
    ]
    return torch.stack(rows)


def _central(guides: Sequence[Features], num: int) -> int:
    """The network whose neurons, pair by pair at their best, correlate most with those of all others."""
    best = torch.zeros(num, num, dtype=torch.float64)
    for i, j in guides[0].correlation:
        pairs = torch.stack([one.between(i, j).abs() if one.signed else one.between(i, j) for one in guides]).sum(0)
        best[i, j] = best[j, i] = pairs.gather(-1, assign(-pairs).unsqueeze(-1)).sum()
    return int(best.sum(1).argmax())


def _total(guides: Sequence[Features], orders: Int[Tensor, "k n"], signs: Sequence[Float[Tensor, "k n"]]) -> float:
    """Squared distances to the mean of features with deviation 1: ``k`` by itself less the norm of the mean."""
    num, size = orders.shape
    inner = sum(
        float((sign[i] * sign[j] * one.between(i, j)[orders[i], orders[j]]).sum())
        for one, sign in zip(guides, signs, strict=True)
        for i, j in one.correlation
    )
    return len(guides) * (num - 1) * size - 2 / num * inner
