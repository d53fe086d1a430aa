"""The symmetry of an architecture with less in it: orders only, or orders and signs."""

from dataclasses import replace

from ._spec import SymmetrySpec


def without_scales(spec: SymmetrySpec, *, keep_signs: bool = False) -> SymmetrySpec:
    """The spec with permutations only: every scale group made trivial.

    Aligning with it is what matchers do that know permutations alone, and networks stay in the gauge they are given in;
    a metanetwork built for it knows of permutations alone.

    Args:
        spec: A symmetry with scales.
        keep_signs: Leave signs in, take only the sizes off: the symmetry of networks in normal form.
    """
    kept = {"sign": "sign", "nonzero": "sign"} if keep_signs else {}
    return replace(spec, spaces=tuple(replace(one, scale=kept.get(one.scale, "trivial")) for one in spec.spaces))
