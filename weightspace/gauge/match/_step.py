"""One step: the element of one family that brings a network nearest to another one, all else left alone."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..._types import Params
from ...spec import SymmetrySpec
from .._act import act
from .._element import Element
from ..index import arrange
from ._assign import assign, orders, plan
from ._carriers import Family, with_inside
from ._costs import Choice, pair_costs, products

Scales = Literal["signs", "pairs"]


def move(element: Element, params: Params, spec: SymmetrySpec) -> Params:
    """Stacked networks moved one by one; a stack of one several times as fast as by :func:`weightspace.act`."""
    if all(len(perm) == 1 for perm in element.perm.values()):
        element = element[0]
    return act(element, params, spec)


def match_family(
    left: Mapping[str, Tensor],
    right: Mapping[str, Tensor],
    spec: SymmetrySpec,
    family: Family,
    scales: Scales = "pairs",
    least: Float[Tensor, " b"] | None = None,
    dtype: torch.dtype | None = None,
    even: bool = False,
) -> Element:
    """The element of one family, all else left alone, that brings ``right`` nearest to ``left``.

    Args:
        left: Stacked networks to match to.
        right: As many to move; parameters of the family at least.
        spec: The symmetry of all.
        family: What is matched.
        scales: ``"signs"``: positive scales stay; ``"pairs"``: the best for every pair of neurons.
        least: Gains of no more are none: the neurons stay where they are.
        dtype: Of the products; by default float32 for ``"signs"``, where a step that gains nothing is found out by
            its distance, and float64 otherwise.
        even: Every neuron counts alike, however small: see :func:`weightspace.gauge.match.products`.
    """
    costs: dict[str, Tensor | None] = {}
    choices: dict[str, Choice] = {}
    if dtype is None:
        dtype = torch.float32 if scales == "signs" else torch.float64
    for each in with_inside(family):
        found = products(left, right, each.carriers, dtype=dtype, even=even)
        costs[each.space], choices[each.space] = pair_costs(found, each, sizes=scales != "signs")
    num = len(next(iter(left.values())))
    return element_of(family, costs, choices, spec, num, least)


def element_of(
    family: Family,
    costs: dict[str, Tensor | None],
    choices: dict[str, Choice],
    spec: SymmetrySpec,
    num: int,
    least: Float[Tensor, " b"] | None = None,
) -> Element:
    """The cheapest element, given the costs of all pairs and the scales that suit each pair."""
    sizes = {space.name: space.size for space in spec.spaces}
    if family.ordered:
        found = plan(family, costs, num, sizes)
        fixed = spec.space[family.space].within
        chosen = assign(_within_blocks(found.costs, sizes[fixed]) if fixed is not None else found.costs, least)
        places = orders(found, chosen)
    else:
        places = {family.space: torch.arange(sizes[family.space]).expand(num, -1)}
    keys = {space.name: torch.arange(space.size).double().expand(num, -1) for space in spec.free}
    keys |= {name: order.argsort(-1).double() for name, order in places.items() if name in keys}
    perm = arrange(spec, keys, num)
    scale = {space.name: torch.ones(num, space.size, dtype=torch.float64) for space in spec.free}
    for name, choice in choices.items():
        for space, value in choice.items():
            scale[space] = value.double().gather(-1, places[name].unsqueeze(-1))[..., 0]
    return Element(perm, scale)


def _within_blocks(costs: Float[Tensor, "b n n"], num: int) -> Tensor:
    """The costs, with no way out of a block: the space around it does not move."""
    block = torch.arange(costs.shape[-1]) // (costs.shape[-1] // num)
    most = costs.abs().amax((-1, -2), keepdim=True) * costs.shape[-1] + 1
    return costs.where(block.unsqueeze(-1) == block, most)


def best_signs(left: Params, right: Params, spec: SymmetrySpec, family: Family) -> Element:
    """The best order and signs of one family, by products in float64, whatever it gains."""
    costs: dict[str, Tensor | None] = {}
    choices: dict[str, Choice] = {}
    for each in with_inside(family):
        found = products(left, right, each.carriers, dtype=torch.float64)
        # Norms do not depend on order and signs: the smallest distance is the largest product.
        costs[each.space], choices[each.space] = pair_costs(found, each, sizes=False)
    return element_of(family, costs, choices, spec, len(next(iter(left.values()))))


def changes(element: Element) -> Bool[Tensor, " b"]:
    """By network, whether the element changes anything."""
    moved = [(perm != torch.arange(perm.shape[-1])).any(-1) for perm in element.perm.values()]
    return torch.stack([*moved, *((scale != 1).any(-1) for scale in element.scale.values())]).any(0)
