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

from ._carriers import Carrier, Family, Signs, scaled_space
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
    dtype: torch.dtype = torch.float64,
    even: bool = False,
) -> dict[Kind, Products]:
    """Products of the neurons of two stacked networks, by the scales that act on the entries.

    Args:
        left: Stacked networks, the rows.
        right: As many, the columns.
        carriers: What is multiplied.
        dtype: Of the products.
        even: Every neuron counts alike, in units of its own norm.
    """
    found: dict[Kind, Products] = {}
    sizes = [norms(params, carriers).sqrt() for params in (left, right)] if even else []
    units = [size.where(size > 0, 1.0).unsqueeze(-1) for size in sizes] if even else [1.0, 1.0]
    for carrier in carriers:
        here, there = (
            (carrier.rows(params[carrier.param]).flatten(2) / unit).to(dtype)
            for params, unit in zip((left, right), units, strict=True)
        )
        inner, norm = here @ there.mT, there.square().sum(-1)
        key = (carrier.parity, carrier.powers)
        if key in found:
            inner, norm = found[key].inner + inner, found[key].norm + norm
        found[key] = Products(inner, norm)
    return found


def norms(params: Mapping[str, Tensor], carriers: tuple[Carrier, ...]) -> Float[Tensor, "b n"]:
    """Squared norms of neurons over all that carries them."""
    rows = [carrier.rows(params[carrier.param]).flatten(2) for carrier in carriers]
    return torch.stack([torch.linalg.vector_norm(row, dim=-1, dtype=torch.float64).square() for row in rows]).sum(0)


def pair_costs(
    found: dict[Kind, Products], family: Family, *, sizes: bool = True
) -> tuple[Float[Tensor, "b n n"] | None, Choice]:
    """Squared distance of every pair at its best scales (less a constant of the first network), and those scales.

    Without ``sizes`` the best signs are chosen, and positive scales stay.
    """
    if not found:
        return None, {}
    scaled = scaled_space(family) if sizes else None
    total: Tensor | None = None
    choice: Choice = {}
    for names, some in [(family.signs, found)] if scaled else _apart(found):
        cost, its = _best(some, names, scaled)
        total = cost if total is None else total + cost
        choice |= its
    return total, choice


def _apart(found: dict[Kind, Products]) -> list[tuple[Signs, dict[Kind, Products]]]:
    """The signs that are chosen together, and the products that they decide: choices grow with their number."""
    parts: list[tuple[set[str], dict[Kind, Products]]] = []
    for kind, its in found.items():
        names, some = set(kind[0]), {kind: its}
        for other in [part for part in parts if part[0] & names or part[0] == names]:
            parts.remove(other)
            names, some = names | other[0], other[1] | some
        parts.append((names, some))
    return [(tuple(sorted(names)), some) for names, some in parts]


def _best(found: dict[Kind, Products], signs: Signs, scaled: str | None) -> tuple[Float[Tensor, "b n n"], Choice]:
    best: Tensor | None = None
    choice: Choice = {}
    for chosen in product((1.0, -1.0), repeat=len(signs)):
        sign = dict(zip(signs, chosen, strict=True))
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
    assert best is not None, "one choice at least"
    return best, choice


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
