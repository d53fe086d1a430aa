"""Scales that bring entries of any size to where their squares are numbers, before anything is settled.

A float64 network may hold 1e200 in one layer and 1e-200 in the next: the same network with a scale moved between them.
Their squares are no numbers, but their 64th roots are: those are balanced first. Powers of two, so that nothing rounds.
"""

import math
from collections.abc import Mapping

from torch import Tensor

from ...spec import SymmetrySpec
from .._element import Element, identity
from ._balance import balanced_scales
from ._sizes import ordinary
from ._table import tables

ROOT = 1 / 64
MOST = 1000
"""Largest binary exponent of a scale, so that it and its inverse are ordinary numbers."""


def coarse(params: Mapping[str, Tensor], spec: SymmetrySpec) -> Element | None:
    """Powers of two near the balanced scales, 1 for networks of ordinary numbers; ``None`` if all are.

    Args:
        params: Stacked networks, float64.
        spec: Their symmetry.
    """
    plain = ordinary(params)
    if bool(plain.all()):
        return None
    sizes = tables(params, spec, "size", lambda value: value.abs() ** ROOT, in_units=False)
    if not sizes.tables:
        return None
    log, _ = balanced_scales(sizes, ROOT)
    scale = (log / math.log(2)).round().clamp(-MOST, MOST).exp2().where(~plain.unsqueeze(1), 1.0)
    still = identity(spec).expand(sizes.num)
    return Element(still.perm, still.scale | sizes.split(scale, spec))
