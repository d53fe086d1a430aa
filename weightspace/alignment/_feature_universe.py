"""Many networks brought to one common place by what their neurons do on data."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..gauge import Element, act, compose, stack
from ..gauge.index import arrange
from ..gauge.match import Progress, assign, balance, problem
from ..spec import SymmetrySpec
from ._batches import Inputs
from ._features import Features, balanced_sizes, features, gains, scale_between
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
    balanced, to_balanced = balance(stack([wide(params, spec) for params in networks]), spec)
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
    settled, gain = balanced_sizes(spec), [gains(params, spec) for params in run]
    for root, family in found.items():
        orders, signs, reference, steps = _matched(family.together, num, use_signs=family.signed is not None)
        keys[root] = orders.argsort(-1).double()
        for name, own in family.own.items():
            spreads = [own.deviation[k][orders[k]] for k in range(num)]
            turned = signs if name == family.signed else _signs(own, orders, reference)
            if name in gain[0]:
                placed_gains = torch.stack([gain[k][name][orders[k]] for k in range(num)])
                turned = placed_gains * placed_gains[reference]
            scale[name] = torch.stack(
                [
                    scale_between(spreads[reference], spreads[k], turned[k], spec.space[name], settled)
                    for k in range(num)
                ]
            )
        totals.append(steps)
        references.append(reference)
    if progress is not None:
        progress(len(inputs) + 1, len(inputs) + 1)
    elements = Element(arrange(spec, keys, num), scale)
    placed = stack([act(elements[k], row(balanced, k), spec) for k in range(num)])
    far = spread(placed, problem(balanced, balanced, spec))
    most = max(map(len, totals))
    together = tuple(sum(steps[min(step, len(steps) - 1)] for steps in totals) for step in range(most))
    return Universe(compose(elements, to_balanced), placed, far, together, max(set(references), key=references.count))


def _matched(
    here: Features, num: int, *, use_signs: bool
) -> tuple[Int[Tensor, "k n"], Float[Tensor, "k n"], int, list[float]]:
    """Of each network the neuron at each place and its sign; the reference; the totals after each round."""
    size = here.deviation.shape[1]
    orders = torch.arange(size).repeat(num, 1)
    signs = torch.ones(num, size, dtype=torch.float64)
    if num == 1:
        return orders, signs, 0, [0.0]

    def match(k: int, others: Sequence[int]) -> float:
        """Put the neurons of ``k`` where they correlate best with those of others; what is gained."""
        sums = torch.zeros(size, size, dtype=torch.float64)
        for j in others:
            sums += signs[j].unsqueeze(-1) * here.between(j, k)[orders[j]]
        before = float((signs[k] * sums.gather(-1, orders[k].unsqueeze(-1))[:, 0]).sum())
        order = assign(-(sums.abs() if use_signs else sums))
        chosen = sums.gather(-1, order.unsqueeze(-1))[:, 0]
        sign = torch.where(chosen < 0, -1.0, 1.0).double() if use_signs else torch.ones_like(chosen)
        gain = float((sign * chosen).sum()) - before
        if gain > GAIN * size:
            orders[k], signs[k] = order, sign
            return gain
        return 0.0

    reference = _central(here, num, use_signs=use_signs)
    for k in range(num):
        if k != reference:
            match(k, [reference])
    totals = [_total(here, orders, signs)]
    for _ in range(MOST_ROUNDS):
        gained = sum(match(k, [j for j in range(num) if j != k]) for k in range(num))
        totals.append(totals[-1] - 2 / num * gained)
        if not gained:
            break
    return orders, signs, reference, totals


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


def _central(here: Features, num: int, *, use_signs: bool) -> int:
    """The network whose neurons, pair by pair at their best, correlate most with those of all others."""
    best = torch.zeros(num, num, dtype=torch.float64)
    for i, j in here.correlation:
        pairs = here.between(i, j).abs() if use_signs else here.between(i, j)
        best[i, j] = best[j, i] = pairs.gather(-1, assign(-pairs).unsqueeze(-1)).sum()
    return int(best.sum(1).argmax())


def _total(here: Features, orders: Int[Tensor, "k n"], signs: Float[Tensor, "k n"]) -> float:
    """Squared distances to the mean of features with deviation 1: ``k`` by itself less the norm of the mean."""
    num, size = orders.shape
    inner = sum(
        float((signs[i] * signs[j] * here.between(i, j)[orders[i], orders[j]]).sum()) for i, j in here.correlation
    )
    return (num - 1) * size - 2 / num * inner
