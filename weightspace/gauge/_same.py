"""Whether two parameter sets are the same network: the element between them, and what is left."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from .._errors import ConfigError, SpecMismatch
from .._types import Params
from ..spec import SymmetrySpec
from ._act import act, stack
from ._element import Element, compose, inverse
from ._fit import fitted
from ._match import matched
from ._rounding import rounding
from .canonical import canonicalize

LIMIT = 1.5
"""Largest difference, in roundings, that still counts as the same network: 1, and what rounding does to scales."""


@final
@dataclass(frozen=True, eq=False)
class Sameness:
    """What a comparison of two networks found.

    Attributes:
        same: Whether one element maps the first network to the second, entry by entry, up to rounding.
        element: The best element found: ``act(element, a, spec)`` is nearest to ``b``.
        roundings: Largest difference of an entry, in units of what rounding the two networks to their number
            types explains there.
        distance: Norm of all differences relative to the norm of ``b``.
    """

    same: bool
    element: Element
    roundings: float
    distance: float

    def __str__(self) -> str:
        word = "same network" if self.same else "different networks"
        return f"{word}: largest difference {self.roundings:.3g} roundings, distance {self.distance:.3g}"


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor], spec: SymmetrySpec, *, bits: int | None = None) -> Sameness:
    """Whether ``a`` and ``b`` are one network in two gauges, with the element that maps ``a`` to ``b``.

    Both are brought to balanced scales; neurons are assigned to each other, space by space from the inputs on, and
    again until nothing changes; scales are then fitted. "Same" is certified by the element: every entry of the moved
    ``a`` agrees with ``b`` up to what rounding explains. "Different" says that no such element was found; networks
    with dead neurons may have one that is missed. Rounding counts once, at the end: a copy that was rounded and then
    moved to another gauge is different, since its entries say nothing of how they were rounded.

    Args:
        a: Parameters of one network, of any floating-point types.
        b: Parameters of another one.
        spec: The symmetry of both.
        bits: Parameters that lie on a symmetric grid of so many bits (8: 127 steps from 0 to the largest entry), one
            step for the whole or one for each output channel, may differ by half a step. Without it, networks that
            were quantized are different from the one that they were made of: their type does not say that they were.

    Raises:
        SpecMismatch: if a parameter does not fit the spec, several networks are stacked, or an entry is not finite.
        ConfigError: if ``bits`` is not between 2 and 16.
    """
    if bits is not None and not 2 <= bits <= 16:
        raise ConfigError(f"bits is {bits}; grids of 2 to 16 bits are known. Type bits=8.")
    first, second = _checked(a, spec, "first"), _checked(b, spec, "second")
    both, moves, _ = canonicalize(stack([first, second]), spec, scale="balanced", permute=False)
    left, right = ({name: value[place] for name, value in both.items()} for place in range(2))
    element = compose(inverse(moves[1]), compose(matched(left, right, spec), moves[0]))
    rounded = [{name: rounding(network[name], bits) for name in spec.axes} for network in (a, b)]

    def room(element: Element) -> Params:
        """What rounding of both explains, once ``element`` has moved the first."""
        most = Element(element.perm, {name: scale.abs() for name, scale in element.scale.items()})
        moved, still = act(most, rounded[0], spec), act(most, {n: torch.zeros_like(v) for n, v in first.items()}, spec)
        # Where something is added before scaling (running variances), a difference is scaled alone.
        return {name: moved[name] - still[name] + rounded[1][name] + 1e-300 for name in spec.axes}

    def roundings(element: Element) -> float:
        moved, unit = act(element, first, spec), room(element)
        gaps = [((moved[name] - second[name]).abs() / unit[name]).flatten() for name in spec.axes]
        return float(torch.cat(gaps).max())

    worst = roundings(element)
    if worst > 1:  # balanced scales are as wrong as rounding makes sums of squares; the entries themselves say more
        better = fitted(element, first, second, room, spec)
        worst, element = min((worst, element), (roundings(better), better), key=lambda pair: pair[0])
    moved = act(element, first, spec)
    square = sum(float((moved[name] - second[name]).square().sum()) for name in spec.axes)
    size = sum(float(second[name].square().sum()) for name in spec.axes)
    return Sameness(worst <= LIMIT, element, worst, (square / size) ** 0.5 if size else square**0.5)


def _checked(params: Mapping[str, Tensor], spec: SymmetrySpec, which: str) -> Params:
    if spec.check_values(params, of=f"the {which} network") is not None:
        raise SpecMismatch(f"the {which} argument stacks several networks. Compare them one by one.")
    return {name: params[name].to(torch.float64) for name in spec.axes}
