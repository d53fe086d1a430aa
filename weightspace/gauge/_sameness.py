"""What a comparison of two networks says: one network, one function, two functions, or nothing."""

import enum
from dataclasses import dataclass
from typing import final

from ._element import Element
from ._outputs import Outputs

LIMIT = 1.5
"""Largest difference, in roundings, that still counts as the same network: 1, and what rounding does to scales."""


@final
class Verdict(enum.Enum):
    """How two networks of one architecture are related."""

    SAME = "same network"
    """One element maps the first to the second, entry by entry, up to rounding."""
    FUNCTION = "same function, no element of this spec"
    """Outputs agree as far as rounding lets one say, on all inputs tried; no element was found."""
    DIFFERENT = "different networks"
    """There is an input on which outputs differ by more than rounding explains."""
    OPEN = "no element found"
    """Whether they compute the same is not known: no module was given, or its outputs do not change with its inputs."""


@final
@dataclass(frozen=True, eq=False)
class Sameness:
    """What a comparison of two networks found; true if they are the same network.

    Attributes:
        verdict: One of four.
        element: The best element found: ``act(element, a, spec)`` is nearest to ``b``.
        roundings: Largest difference of an entry, in units of what rounding the two networks to their number
            types explains there.
        distance: Norm of all differences relative to the norm of ``b``.
        outputs: How far the outputs are apart, with the inputs that show it; ``None`` where no module was given.
        why: Why there is no element, or none was found, as far as the numbers say; else empty.
    """

    verdict: Verdict
    element: Element
    roundings: float
    distance: float
    outputs: Outputs | None = None
    why: str = ""

    def __bool__(self) -> bool:
        return self.verdict is Verdict.SAME

    def __str__(self) -> str:
        near = f"largest difference {self.roundings:.3g} roundings, distance {self.distance:.3g}"
        if self.verdict is Verdict.SAME:
            return f"{self.verdict.value}: {near}"
        said = {
            Verdict.FUNCTION: f"{self.outputs}; {self.why}",
            Verdict.DIFFERENT: f"{self.outputs}",
            Verdict.OPEN: self.why,
        }[self.verdict]
        return f"{self.verdict.value}: {said} (nearest element: {near})"
