"""What it costs to put a neuron of one network in the place of a neuron of another one: all pairs at once.

For every pair the best sign and scale are chosen in the same step, so that an assignment on the costs is the exact
optimum over order, signs and scales together.

Source: for signs arXiv:2511.12601, Proposition 1 (assignment on magnitudes); for positive scales ours, the quartic of
:mod:`weightspace.gauge.match._quartic`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ._carriers import Carrier, Family
from ._quartic import best_scale

Choice = dict[str, Tensor]
"""By space of a family, the scale ``[b, n, n]`` that suits each pair best."""


@final
@dataclass(frozen=True, eq=False)
class Products:
    """Sums over all carriers that are scaled alike.

    Attributes:
        inner: Product of each neuron of the first network (rows) with each of the second.
        norm: Squared norms of the neurons of the second network.
    """

    inner: Float[Tensor, "b n n"]
    norm: Float[Tensor, "b n"]


Kind = tuple[tuple[str, ...], tuple[tuple[str, int], ...]]


def products(
    left: Mapping[str, Tensor],
    right: Mapping[str, Tensor],
    carriers: tuple[Carrier, ...],
    *,
    own: bool = False,
    dtype: torch.dtype = torch.float64,
) -> dict[Kind, Products]:
    """Products of the neurons of two stacked networks, by the scales that act on the entries.

    With ``own`` only of neurons in the same place: each stands as a network of one neuron, ``b n`` in all.
    """
    found: dict[Kind, Products] = {}
    for carrier in carriers:
        here, there = (carrier.rows(params[carrier.param].to(dtype)).flatten(2) for params in (left, right))
        if own:
            here, there = (value.flatten(0, 1).unsqueeze(1) for value in (here, there))
        inner, norm = here @ there.mT, there.square().sum(-1)
        key = (carrier.parity, carrier.powers)
        if key in found:
            inner, norm = found[key].inner + inner, found[key].norm + norm
        found[key] = Products(inner, norm)
    return found


def pair_costs(
    found: dict[Kind, Products], family: Family, *, sizes: bool = True
) -> tuple[Float[Tensor, "b n n"] | None, Choice]:
    """Squared distance of every pair at its best scales (less a constant of the first network), and those scales.

    Without ``sizes`` the best signs are chosen, and positive scales stay.
    """
    if not found:
        return None, {}
    scaled = _scaled_space(found, family) if sizes else None
    best: Tensor | None = None
    choice: Choice = {}
    for signs in product((1.0, -1.0), repeat=len(family.signs)):
        sign = dict(zip(family.signs, signs, strict=True))
        cost, scale = _cost(found, sign, scaled)
        its: dict[str, Tensor | float] = dict(sign)
        if scaled is not None and scale is not None:
            its[scaled] = scale * sign.get(scaled, 1.0)
        if best is None:
            best = cost
            choice = {name: v if isinstance(v, Tensor) else torch.full_like(cost, v) for name, v in its.items()}
            continue
        better = cost < best
        best = torch.minimum(best, cost)
        choice = {name: torch.where(better, value, choice[name]) for name, value in its.items()}
    return best, choice


def _scaled_space(found: dict[Kind, Products], family: Family) -> str | None:
    """The space whose size is chosen here: one that both multiplies and divides, and alone.

    Several sizes for each neuron (around a normalization), or one that nothing divides by again, have no closed form
    or no optimum of their own; they stay as the balanced gauge has them.
    """
    powers = {power for _, kind in found for power in kind}
    names = {name for name, _ in powers}
    if len(family.sizes) != 1 or names != set(family.sizes):
        return None
    name = family.sizes[0]
    return name if {power for _, power in powers} == {1, -1} and len(powers) == 2 else None


def _cost(found: dict[Kind, Products], sign: dict[str, float], scaled: str | None) -> tuple[Tensor, Tensor | None]:
    inner: dict[int, Tensor] = {}
    norm: dict[int, Tensor] = {}
    for (parity, powers), its in found.items():
        flip = 1.0
        for name in parity:
            flip *= sign[name]
        power = dict(powers).get(scaled, 0) if scaled else 0
        inner[power] = inner[power] + flip * its.inner if power in inner else flip * its.inner
        norm[power] = norm[power] + its.norm if power in norm else its.norm
    cost = torch.zeros(())
    if 0 in inner:
        cost = norm[0].unsqueeze(-2) - 2 * inner[0]
    if scaled is None or len(set(inner) - {0}) < 2:
        for power in set(inner) - {0}:
            cost = cost + norm[power].unsqueeze(-2) - 2 * inner[power]
        return cost, None
    wide = norm[1].unsqueeze(-2).expand_as(inner[1]), norm[-1].unsqueeze(-2).expand_as(inner[-1])
    scale, value = best_scale(wide[0], inner[1], inner[-1], wide[1])
    return cost + value, scale
