"""What a metanetwork respects of the symmetry of the networks it reads; the rest makes its control."""

from dataclasses import replace
from typing import Literal

from ..spec import SymmetrySpec

Symmetry = Literal["full", "permutations", "broken"]
"""All of it, permutations alone (a baseline), or the full model's parts with the scales left in (the control)."""


def without_scales(spec: SymmetrySpec) -> SymmetrySpec:
    """The spec of a metanetwork that knows of permutations alone."""
    return replace(spec, spaces=tuple(replace(space, scale="trivial") for space in spec.spaces))
