"""Interpolation between copies of one network in different gauges: pairs, methods to bring them together, curves.

All pairs share one function (up to noise), so a perfect method gives a flat curve, at the network's own loss; with
noise the end is that of the noisy copy.

Source: arXiv:2511.12601, section 4 and Figs. 3 and 7.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..._types import Params
from ...alignment import Evaluate, align, linear_assignment
from ...gauge import Element, act, compose, identity, inverse
from ...spec import SymmetrySpec
from ...zoo import SirenTarget
from .perturb import SCALE_STD, add_noise, perturb

OrbitMethod = Literal["naive", "linear assignment", "ours"]
"""As given; :func:`weightspace.alignment.linear_assignment`, the paper's baseline; :func:`weightspace.align`."""

Measure = Callable[[Params], tuple[Float[Tensor, " b"], Float[Tensor, " b"] | None]]
"""Loss, and accuracy (a fraction) where there is one, of each of stacked networks."""

_AT_ONCE = 40
"""Networks measured together: those of one pair, with their intermediate results in cache."""


@final
@dataclass(frozen=True, eq=False)
class OrbitPairs:
    """Copies of one network in a ring: pair ``i`` is copy ``i`` and its successor, noise on the latter.

    Attributes:
        first: Networks at 0.
        second: Networks at 1.
        planted: What moves each second network, but for its noise, onto the first one.
    """

    first: Params
    second: Params
    planted: Element


@final
@dataclass(frozen=True, eq=False)
class OrbitCurves:
    """Pairs of one network by one method.

    Attributes:
        loss: By pair, along the segment.
        accuracy: The same, or ``None``.
        in_place: By pair, whether every neuron is brought back to its place, with its sign.
    """

    loss: Float[Tensor, "b p"]
    accuracy: Float[Tensor, "b p"] | None
    in_place: Bool[Tensor, " b"]


def orbit_pairs(
    params: Mapping[str, Tensor],
    spec: SymmetrySpec,
    kind: str,
    *,
    num: int,
    sigma: float,
    seed: int,
    scale_std: float = SCALE_STD,
) -> OrbitPairs:
    """``num`` pairs of copies of one network; arguments and errors as of :func:`weightspace.tasks.perturb`."""
    wide = {name: value.double() if value.is_floating_point() else value for name, value in params.items()}
    first, elements = perturb(wide, spec, kind, num=num, seed=seed, scale_std=scale_std)
    second = add_noise({name: value.roll(-1, 0) for name, value in first.items()}, spec, sigma, seed)
    follow = elements[torch.arange(num).roll(-1)]
    return OrbitPairs(first, second, compose(elements, inverse(follow)))


def orbit_curves(
    pairs: OrbitPairs, spec: SymmetrySpec, method: OrbitMethod, measure: Measure, *, points: int, seed: int = 0
) -> OrbitCurves:
    """Loss, and accuracy where it is measured, of all pairs once the second networks are moved by the method.

    Args:
        pairs: See :func:`orbit_pairs`.
        spec: Their symmetry.
        method: How the second networks are moved.
        measure: Of stacked networks, all pairs alike.
        points: Places on each segment, evenly spaced, ends included.
        seed: Of the order of the layers in the linear assignment.
    """
    element = _found(pairs, spec, method, seed)
    second = act(element, pairs.second, spec)
    loss, accuracy = segment_curves(pairs.first, second, measure, points)
    return OrbitCurves(loss, accuracy, same_places(element, pairs.planted))


def segment_curves(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], measure: Measure, points: int
) -> tuple[Float[Tensor, "b p"], Float[Tensor, "b p"] | None]:
    """Loss and accuracy along the straight lines between stacked networks; integer parameters are those of the first.

    At the ends the networks are exactly those given.
    """
    places = torch.linspace(0, 1, points, dtype=torch.float64)
    num = len(next(iter(first.values())))
    losses, accuracies = [], []
    for pair in torch.arange(num).split(max(1, _AT_ONCE // points)):
        between = {}
        for name, here in first.items():
            a, b = here[pair].unsqueeze(1), second[name][pair].unsqueeze(1)
            t = places.view(-1, *[1] * (a.ndim - 2))
            mixed = (1 - t) * a + t * b if here.is_floating_point() else a.expand(-1, points, *a.shape[2:])
            between[name] = mixed.flatten(0, 1)
        loss, accuracy = measure(between)
        losses.append(loss.view(-1, points))
        accuracies += [] if accuracy is None else [accuracy.view(-1, points)]
    return torch.cat(losses), torch.cat(accuracies) if accuracies else None


def image_error(image: Float[Tensor, " p"], target: SirenTarget) -> Measure:
    """What measures the mean square error of SIRENs to an image, intensities in [0, 1]; rendered in float32."""
    side = round((len(image) / target.widths[-1]) ** 0.5)

    def measure(params: Params) -> tuple[Tensor, None]:
        single = {name: value.float() for name, value in params.items()}
        with torch.no_grad():
            shown = target.pictures(single, side).flatten(1)
        return (shown - image).square().mean(1, dtype=torch.float64), None

    return measure


def one_by_one(evaluate: Evaluate) -> Measure:
    """What measures stacked networks by measuring each, in float32."""

    def measure(params: Params) -> tuple[Tensor, Tensor | None]:
        single = {name: value.float() if value.is_floating_point() else value for name, value in params.items()}
        num = len(next(iter(single.values())))
        found = [evaluate({name: value[k] for name, value in single.items()}) for k in range(num)]
        if isinstance(found[0], tuple):
            loss, accuracy = torch.tensor(found, dtype=torch.float64).T
            return loss, accuracy
        return torch.tensor(found, dtype=torch.float64), None

    return measure


def same_places(found: Element, planted: Element) -> Bool[Tensor, " b"]:
    """Whether two elements put every neuron in the same place with the same sign; sizes of scales are left aside."""
    agree = [(found.perm[name] == perm).all(-1) for name, perm in planted.perm.items()]
    agree += [(found.scale[name].sign() == scale.sign()).all(-1) for name, scale in planted.scale.items()]
    return torch.stack(agree).all(0)


def _found(pairs: OrbitPairs, spec: SymmetrySpec, method: OrbitMethod, seed: int) -> Element:
    if method == "linear assignment":
        return linear_assignment(pairs.first, pairs.second, spec, seed=seed)
    if method == "ours":
        return align(pairs.first, pairs.second, spec).element
    return identity(spec)
