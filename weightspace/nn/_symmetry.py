"""What a metanetwork respects of the symmetry of the networks it reads; the rest makes its control."""

from typing import Literal

Symmetry = Literal["full", "permutations", "broken"]
"""All of it, permutations alone (a baseline), or the full model's parts with the scales left in (the control)."""
