"""The scales at which the weights are smallest: the total squared norm, or the L1 norm, has one minimum on an orbit.

In the logarithms ``t`` of the scales the sum of ``|w|^q exp(q * sum of power * t)`` is convex, and where every entry
lies on a way from the inputs to the outputs it has its minimum, at which a neuron's fan-in carries as much as its
fan-out (weighted by powers). Other entries could be made as small as one likes (the live side of a dead neuron, the
features before a batch normalization, which nothing divides by): there the logarithm is taken from the sum. It changes
by the same number on a whole orbit, so the minimum stays a property of the orbit, and it bounds the sum, so that there
always is one: entries that are 0 say nothing, whichever they are.

Source: Stock et al. 2019, arXiv:1902.10416 (alternating closed forms, q = 2). Ours: all neurons step at once by a bound
on the sum that separates them, then Newton's method; any powers, neurons that meet themselves, dead ones, batches.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._sums import Sums, SumsAt
from ._table import Tables
from ._ways import off_the_way

STEPS, NEWTON_STEPS, CG_STEPS = 12, 60, 500
SMALL, ROUNDING, RIDGE = 1e-7, 1e-14, 1e-10
"""A change of log scales after which the next one would be its square, gradients relative to the weights at which
Newton's method has arrived, and the part of the diagonal that is added."""


def balanced_scales(
    tables: Tables, q: float, free: Bool[Tensor, "b n"] | None = None
) -> tuple[Float[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """Log scales at which ``sum |w|^q`` is smallest, and the neurons for which none was settled (log scale 0).

    Args:
        tables: Of ``|w|^q``.
        q: 2 for the squared norm, 1 for L1; any above 0.
        free: The neurons that may move; by default all.
    """
    target = _target(tables, q)
    still = tables.pull(abs) == 0  # no entry at all: its scale does nothing
    still = still if free is None else still | ~free
    log = torch.zeros(still.shape, dtype=torch.float64)
    sums, reach = Sums(tables, q), _reach(tables, q)
    for _ in range(STEPS):
        log = log + _separate_step(sums.at(log), target, still, reach)
    here = sums.at(log)
    for _ in range(NEWTON_STEPS):
        step = _newton_step(here, target, still)
        if float(step.abs().max()) > 1e-6:  # closer by, rounding hides whether the sum falls
            step = step * _shrink(here, log, step, target)
        log = log + step
        here = sums.at(log)
        if float(step.abs().max()) < SMALL:
            break
    up, down = _sides(here, target)
    lost = ~still & ~((up - down).abs() <= 1e-5 * (up + down))
    return log.where(~(still | lost), 0.0), lost


def one_sided(tables: Tables) -> Bool[Tensor, "b n"]:
    """Neurons that have a fan-in and a fan-out, one of which is 0."""
    sides = [(tables.some(side), tables.pull(side) > 0) for side in (_positive, _negative)]
    return sides[0][0] & sides[1][0] & ~(sides[0][1] & sides[1][1])


def _positive(power: int) -> float:
    return float(max(power, 0))


def _negative(power: int) -> float:
    return float(max(-power, 0))


def _target(tables: Tables, q: float) -> Float[Tensor, "b n"]:
    """What is taken from the gradient: logarithms of entries that nothing keeps from vanishing, about 1 a neuron."""
    every, values = off_the_way(tables), []
    if not any(bool(loose.any()) for loose in every):
        return torch.zeros((tables.num, tables.size), dtype=torch.float64)
    for table, loose in zip(tables.tables, every, strict=True):
        shape = table.value.shape[1:]
        values.append(loose.double() * (max(shape, default=1) / math.prod(shape)))
    return tables.with_values(values).pull(float) * (-q * tables.log_unit.unsqueeze(-1)).exp()


def _sides(here: SumsAt, target: Tensor) -> tuple[Tensor, Tensor]:
    """What pulls each neuron's scale down, and what pulls it up."""
    return here.pull(_positive) - target.clamp_max(0), here.pull(_negative) + target.clamp_min(0)


def _reach(tables: Tables, q: float) -> Float[Tensor, " n"]:
    """What divides the logarithm of a step: a product of ``k`` factors is at most the mean of k-th powers."""
    most = max(len(table.incidences) for table in tables.tables)
    reach = torch.zeros(2, tables.size)
    for which, part in enumerate((_positive, _negative)):
        for power in {incidence.power for _, incidence in tables.pairs()}:
            has = tables.some(lambda other, power=power: float(other == power))
            reach[which] = torch.maximum(reach[which], has * part(power))
    return q * most * reach.sum(0)


def _separate_step(here: SumsAt, target: Tensor, still: Tensor, reach: Tensor) -> Tensor:
    """A step of every neuron for which the sum falls."""
    up, down = _sides(here, target)
    return ((down.where(~still, 1.0) / up.where(~still, 1.0)).log() / reach).where(~still, 0.0)


def _newton_step(here: SumsAt, target: Tensor, still: Tensor) -> Tensor:
    """``-H^-1 g`` by conjugate gradients, scaled by the diagonal, as exact as its distance from the end deserves."""
    gradient = (here.pull(float) - target).where(~still, 0.0)
    size = here.pull(abs) + target.abs()
    off = gradient.abs() / size.where(size > 0, 1.0)
    gradient = gradient.where(~(gradient.abs() <= ROUNDING * size).all(-1, keepdim=True), 0.0)
    diagonal = (here.sums.q * here.pull(lambda power: float(power * power))).where(~still, 1.0)

    def times(vector: Tensor) -> Tensor:
        # A little of the diagonal: scales that undo each other everywhere (both act on one axis) leave H singular.
        return (here.curved(vector) + RIDGE * diagonal * vector).where(~still, 0.0)

    return _solve(times, -gradient, diagonal, off.amax(-1, keepdim=True).clamp(1e-10, 0.1))


def _solve(times: Callable[[Tensor], Tensor], right: Tensor, diagonal: Tensor, rest: Tensor) -> Tensor:
    """The solution but for a part ``rest`` of each right side."""
    found, left = torch.zeros_like(right), right
    scaled = left / diagonal
    way, size = scaled, (left * scaled).sum(-1, keepdim=True)
    goal = rest**2 * size
    for _ in range(CG_STEPS):
        going = (size > goal) & (size > 0)
        if not bool(going.any()):
            break
        image = times(way)
        bend = (way * image).sum(-1, keepdim=True)
        rate = (size / bend.where(bend > 0, 1.0)).where(going & (bend > 0), 0.0)
        found, left = found + rate * way, left - rate * image
        scaled = left / diagonal
        new = (left * scaled).sum(-1, keepdim=True)
        way = scaled + (new / size.where(size > 0, 1.0)) * way
        size = new.where(going, size)
    return found


def _shrink(here: SumsAt, log: Tensor, step: Tensor, target: Tensor) -> Float[Tensor, "b 1"]:
    """The largest of 1, 1/2, 1/4, ... for which the sum falls."""

    def total(sums: SumsAt, at: Tensor) -> Tensor:
        return sums.total() / here.sums.q - (target * at).sum(-1)

    start, length = total(here, log), torch.ones(len(log), dtype=torch.float64)
    for _ in range(40):
        there = log + length.unsqueeze(-1) * step
        worse = ~(total(here.sums.at(there), there) <= start)
        if not bool(worse.any()):
            break
        length = torch.where(worse, length / 2, length)
    return length.unsqueeze(-1)
