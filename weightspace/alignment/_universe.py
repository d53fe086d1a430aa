"""Many networks brought to one common place: an element for each, into a universe that all of them share.

Maps between two networks go through the universe, so going around a cycle of networks ends where it began. Chains of
pairwise alignments do not: each ends in an optimum of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from .._errors import SpecMismatch
from .._types import Params
from ..gauge import Element, act, compose, identity, inverse, stack
from ..gauge.canonical import balance
from ..gauge.match import Problem, Progress, best_start, descend, distance, problem
from ..spec import SymmetrySpec, without_scales
from ._gains import opposed, set_upright, without_gain_signs
from ._stacks import in_one_unit, wide
from ._whole import check_whole

MOST_ROUNDS = 50
"""Rounds end by themselves; this bounds them where rounding goes on finding gains."""

GAIN = 1e-6
"""Smallest gain of a round, relative to the squared norms of all networks, that counts."""


@final
@dataclass(frozen=True, eq=False)
class Universe:
    """Networks in one place.

    Attributes:
        elements: Of each network, the element from its own gauge into the universe (a leading axis ``k``).
        placed: The networks there, stacked, float64.
        spread: Of each network, its distance to the mean of all, relative to the norm of the mean.
        totals: Sum of the squared distances to the mean, at first and after each round; it never rises.
        reference: The network from which the universe has its scales (most of them): the one nearest to all others.
    """

    elements: Element
    placed: Params
    spread: Float[Tensor, " k"]
    totals: tuple[float, ...]
    reference: int


def universe(
    networks: Sequence[Mapping[str, Tensor]],
    spec: SymmetrySpec,
    *,
    restarts: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Universe:
    """All networks at elements where no single one can be brought nearer to the mean of the others.

    All are balanced and aligned pair by pair; the network with the smallest summed distance to the others is the first
    reference. Then one network after the other is matched to the mean of the others, until the total distance stops
    falling. The reference keeps the sizes of its scales (order and signs may change): if all moved, they could run
    off together to where distances are small because weights are. Where this sets gains of a normalization against each
    other, all is done once more with their signs left alone.

    Args:
        networks: Parameters of each network, at least one.
        spec: The symmetry of all.
        restarts: Random starts of each pair besides the usual ones.
        seed: Of the random starts.
        progress: Called with networks compared with all after them, and their number.

    Raises:
        SpecMismatch: if there is no network, one does not fit the spec, is a stack, has entries that are not finite, or
            weights that are whole numbers.
    """
    check_networks(networks, spec)
    words = {"restarts": restarts, "seed": seed, "progress": progress}
    found = _nearest(networks, spec, **words)
    first = {name: value[:1].expand_as(value) for name, value in found.placed.items()}
    if not bool(opposed(first, found.placed, spec).any()):
        return found
    upright = [set_upright(params, spec) for params in networks]
    found = _nearest([params for params, _ in upright], without_gain_signs(spec), **words)
    return replace(found, elements=compose(found.elements, Element.stack([element for _, element in upright])))


def _nearest(
    networks: Sequence[Mapping[str, Tensor]],
    spec: SymmetrySpec,
    *,
    restarts: int,
    seed: int,
    progress: Progress | None,
) -> Universe:
    balanced, to_balanced = balance(stack([wide(params, spec) for params in networks]), spec)
    balanced, _ = in_one_unit(balanced, balanced, together=True)
    between, far = _pairs(balanced, spec, restarts, seed, progress)
    reference = int(far.sum(1).argmin())
    own = [between[reference, k] for k in range(len(networks))]
    placed = stack([act(one, row(balanced, k), spec) for k, one in enumerate(own)])
    whole = problem(balanced, balanced, spec)
    rigid = problem(balanced, balanced, without_scales(spec, keep_signs=True))
    totals = [_total(placed, whole)]
    for _ in range(MOST_ROUNDS if len(networks) > 1 else 0):
        for k in range(len(networks)):
            others = {name: _mean_of_others(value, k) for name, value in placed.items()}
            task = rigid if k == reference else whole
            task = replace(task, left=others, right=_one(placed, k))
            step, _ = descend(task, identity(spec).expand(1))
            moved = act(step, _one(placed, k), spec)
            if float(distance(others, moved, task.weighed)) < float(distance(others, _one(placed, k), task.weighed)):
                own[k] = compose(step[0], own[k])
                placed = {name: torch.cat([v[:k], moved[name], v[k + 1 :]]) for name, v in placed.items()}
        totals.append(_total(placed, whole))
        if not totals[-1] < totals[-2] - GAIN * float(whole.size.sum()):
            break
    elements = compose(Element.stack(own), to_balanced)
    return Universe(elements, placed, spread(placed, whole), tuple(totals), reference)


def check_networks(networks: Sequence[Mapping[str, Tensor]], spec: SymmetrySpec) -> None:
    """Nothing, if every network is one finite network of the spec.

    Raises:
        SpecMismatch: see :func:`universe`.
    """
    if not networks:
        raise SpecMismatch("there is no network to merge. Give at least one: merge([net.state_dict()], spec).")
    for place, params in enumerate(networks):
        try:
            num = spec.check(params)
        except SpecMismatch as error:
            raise SpecMismatch(f"network {place} of {len(networks)} does not fit the spec: {error}") from error
        if num is not None:
            raise SpecMismatch(
                f"network {place} is a stack of {num}. Give them one by one: "
                f"[{{name: value[k] for name, value in params.items()}} for k in range({num})]."
            )
        for name, value in params.items():
            if not bool(value.isfinite().all()):
                raise SpecMismatch(
                    f"parameter {name!r} of network {place} has entries that are not finite. Leave that network out."
                )
    free = {space.name for space in spec.free}
    for name, axes in spec.params:
        moved = any(part.space in free for axis in axes for part in axis.parts)
        check_whole(name, [params[name] for params in networks], moved=moved)


def _pairs(
    networks: Params, spec: SymmetrySpec, restarts: int, seed: int, progress: Progress | None
) -> tuple[dict[tuple[int, int], Element], Float[Tensor, "k k"]]:
    """By pair ``(i, j)`` the element that brings ``j`` nearest to ``i``, and the distances."""
    num = len(next(iter(networks.values())))
    far = torch.zeros(num, num, dtype=torch.float64)
    found = {(k, k): identity(spec) for k in range(num)}
    for i in range(num - 1):
        later = {name: value[i + 1 :] for name, value in networks.items()}
        here = {name: value[i].expand_as(later[name]) for name, value in networks.items()}
        elements, nearest, _ = best_start(problem(here, later, spec), restarts, seed)
        for j in range(i + 1, num):
            found[i, j] = elements[j - i - 1]
            found[j, i] = inverse(found[i, j])
            far[i, j] = far[j, i] = nearest[j - i - 1].clamp_min(0).sqrt()
        if progress is not None:
            progress(i + 1, num - 1)
    return found, far


def _mean_of_others(value: Tensor, k: int) -> Tensor:
    others = torch.cat([value[:k], value[k + 1 :]])
    return others.mean(0, keepdim=True) if value.is_floating_point() else others[:1]


def _total(placed: Params, task: Problem) -> float:
    return float(_squares(placed, task).sum())


def _squares(placed: Params, task: Problem) -> Float[Tensor, " k"]:
    means = {name: v.mean(0, keepdim=True).expand_as(v) for name, v in placed.items() if name in task.weighed}
    return distance(means, placed, task.weighed)


def spread(placed: Params, task: Problem) -> Float[Tensor, " k"]:
    """Of each network, its distance to the mean of all, relative to the norm of the mean."""
    means = {name: v.mean(0, keepdim=True) for name, v in placed.items() if name in task.weighed}
    size = distance(means, {name: torch.zeros_like(v) for name, v in means.items()}, task.weighed)
    return (_squares(placed, task) / size.where(size > 0, 1.0)).clamp_min(0).sqrt()


def row(params: Params, k: int) -> Params:
    """The ``k``-th of stacked networks."""
    return {name: value[k] for name, value in params.items()}


def _one(params: Params, k: int) -> Params:
    return {name: value[k : k + 1] for name, value in params.items()}
