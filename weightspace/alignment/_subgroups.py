"""The symmetry of an architecture with less in it: orders only, or orders and signs."""

from dataclasses import replace

from ..spec import SymmetrySpec


def without_scales(spec: SymmetrySpec, *, keep_signs: bool = False) -> SymmetrySpec:
    """The spec with permutations only: every scale group made trivial.

    Aligning with it is what matchers do that know permutations alone, and networks stay in the gauge they are given in.

    Args:
        spec: A symmetry with scales.
        keep_signs: Leave signs in, take only the sizes off.
    """
    kept = {"sign": "sign", "nonzero": "sign"} if keep_signs else {}
    spaces = tuple(replace(space, scale=kept.get(space.scale, "trivial")) for space in spec.spaces)
    return SymmetrySpec(spaces, spec.params)
