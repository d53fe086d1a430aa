"""The scales at which the weights are smallest: the total squared norm, or the L1 norm, has one minimum on an orbit.

In the logarithms ``t`` of the scales the sum of ``|w|^q exp(q * sum of power * t)`` is convex, and strictly so once
dead neurons are left out: the minimum is unique. There a neuron's fan-in carries as much as its fan-out (weighted by
powers). A scale that only ever multiplies (the features before a batch normalization, which nothing divides by) would
go to zero. Where such scales act alone, as on running statistics, the logarithm of what they make of a 1 is taken from
the sum, which keeps it bounded, convex, and a property of the orbit.

Source: Stock et al. 2019, arXiv:1902.10416 (alternating closed forms, q = 2). Ours: all neurons step at once by a bound
on the sum that separates them, then Newton's method; any powers, neurons that meet themselves, batches.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._table import Tables, without

STEPS, NEWTON_STEPS, CG_STEPS = 12, 60, 500
SMALL, ROUNDING, RIDGE = 1e-11, 1e-14, 1e-10
"""Changes of a log scale, and gradients relative to the weights, at which Newton's method has arrived; see there."""


def balanced_scales(tables: Tables, q: int) -> tuple[Float[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """Log scales at which ``sum |w|^q`` is smallest, and the neurons that decide none (log scale 0).

    Args:
        tables: Of ``|w|^q``.
        q: 2 for the squared norm, 1 for L1.
    """
    target = _pressure(tables)
    tables, dead = _without_dead(tables, target)
    log = torch.zeros(dead.shape, dtype=torch.float64)
    for _ in range(STEPS):
        log = log + _separate_step(_at(tables, log, q), target, dead, q)
    for _ in range(NEWTON_STEPS):
        step = _newton_step(_at(tables, log, q), target, dead, q)
        if float(step.abs().max()) > 1e-6:  # closer by, rounding hides whether the sum falls
            step = step * _shrink(tables, log, step, target, q)
        log = log + step
        if float(step.abs().max()) < SMALL:
            break
    pull = _at(tables, log, q)
    up, down = pull.pull(_positive) - target.clamp_max(0), pull.pull(_negative) + target.clamp_min(0)
    lost = ~dead & ~((up - down).abs() <= 1e-5 * (up + down))  # no minimum (a cycle of its own): leave it alone
    return log.where(~(dead | lost), 0.0), (dead | lost) & tables.some(abs)


def _positive(power: int) -> float:
    return float(max(power, 0))


def _negative(power: int) -> float:
    return float(max(-power, 0))


def _at(tables: Tables, log: Tensor, q: int) -> Tables:
    return tables.with_values([table.value * (q * table.exponent(log)).exp() for table in tables.tables])


def _pressure(tables: Tables) -> Float[Tensor, " n"]:
    """What is taken from the gradient so that scales that only multiply (or only divide) do not run away."""
    up, down = tables.some(_positive), tables.some(_negative)
    alone = torch.cat([up ^ down, torch.tensor([True])])  # the last entry: no neuron
    values = []
    for table in tables.tables:
        shape = (1, *table.value.shape[1:])
        value = torch.full(shape, max(shape) / math.prod(shape), dtype=torch.float64)
        for incidence in table.incidences:
            value = value.where(alone[incidence.owner], 0.0)
        values.append(value)
    found = replace(tables, num=1).with_values(values).pull(float)[0]
    # Where they never act alone, their fan-in (or fan-out) gets norm 1.
    return torch.where(alone[:-1] & (found == 0), up.double() - down.double(), found)


def _without_dead(tables: Tables, target: Tensor) -> tuple[Tables, Bool[Tensor, "b n"]]:
    """Entries of live neurons only: a neuron without fan-in or fan-out is dead, and then perhaps its neighbours."""
    dead = torch.zeros((tables.num, tables.size), dtype=torch.bool)
    while True:
        up, down = tables.pull(_positive), tables.pull(_negative)
        found = ((up == 0) & (target >= 0)) | ((down == 0) & (target <= 0)) | ((up == 0) & (down == 0))
        if bool((found <= dead).all()):
            return tables, dead
        dead = dead | found
        tables = without(tables, dead)


def _separate_step(tables: Tables, target: Tensor, dead: Tensor, q: int) -> Tensor:
    """A step of every neuron for which the sum falls: a product of ``k`` factors is at most the mean of k-th powers."""
    up, down = tables.pull(_positive) - target.clamp_max(0), tables.pull(_negative) + target.clamp_min(0)
    most = max(len(table.incidences) for table in tables.tables)
    reach = torch.zeros(2, tables.size)
    for which, part in enumerate((_positive, _negative)):
        for power in {incidence.power for _, incidence in tables.pairs()}:
            has = tables.some(lambda other, power=power: float(other == power))
            reach[which] = torch.maximum(reach[which], has * part(power))
    step = (down.where(~dead, 1.0) / up.where(~dead, 1.0)).log() / (q * most * reach.sum(0))
    return step.where(~dead, 0.0)


def _newton_step(tables: Tables, target: Tensor, dead: Tensor, q: int) -> Tensor:
    """``-H^-1 g`` by conjugate gradients, scaled by the diagonal."""
    gradient = (tables.pull(float) - target).where(~dead, 0.0)
    size = tables.pull(abs) + target.abs()
    gradient = gradient.where(~(gradient.abs() <= ROUNDING * size).all(-1, keepdim=True), 0.0)
    diagonal = (q * tables.pull(lambda power: float(power * power))).where(~dead, 1.0)

    def times(vector: Tensor) -> Tensor:
        bent = tables.with_values([q * table.value * table.exponent(vector) for table in tables.tables])
        # A little of the diagonal: scales that undo each other everywhere (both act on one axis) leave H singular.
        return (bent.pull(float) + RIDGE * diagonal * vector).where(~dead, 0.0)

    return _solve(times, -gradient, diagonal)


def _solve(times: Callable[[Tensor], Tensor], right: Tensor, diagonal: Tensor) -> Tensor:
    found, left = torch.zeros_like(right), right
    scaled = left / diagonal
    way, size = scaled, (left * scaled).sum(-1, keepdim=True)
    goal = 1e-20 * size
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


def _shrink(tables: Tables, log: Tensor, step: Tensor, target: Tensor, q: int) -> Float[Tensor, "b 1"]:
    """The largest of 1, 1/2, 1/4, ... for which the sum falls."""

    def total(at: Tensor) -> Tensor:
        rows = [table.value.flatten(1).sum(-1) for table in _at(tables, at, q).tables]
        return torch.stack(rows).sum(0) / q - (target * at).sum(-1)

    start, length = total(log), torch.ones(len(log), dtype=torch.float64)
    for _ in range(40):
        worse = ~(total(log + length.unsqueeze(-1) * step) <= start)
        if not bool(worse.any()):
            break
        length = torch.where(worse, length / 2, length)
    return length.unsqueeze(-1)
