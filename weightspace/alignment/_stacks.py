"""The arguments of an alignment as stacks of float64 networks."""

from collections.abc import Mapping

import torch
from torch import Tensor

from .._errors import SpecMismatch
from .._types import Params
from ..gauge.canonical import units
from ..spec import SymmetrySpec

LARGE = 40
"""Binary exponent of the largest entry from which on networks are matched in units of it."""


def same_number(a: Mapping[str, Tensor], b: Mapping[str, Tensor], spec: SymmetrySpec) -> int | None:
    """How many networks both arguments stack; ``None`` for one each.

    Raises:
        SpecMismatch: if they do not fit the spec, differ in number, or are not finite.
    """
    first, second = spec.check(a), spec.check(b)
    if first != second:
        raise SpecMismatch(
            f"the first argument holds {first or 'one'} network{'s stacked' if first else ''}, the second "
            f"{second or 'one'}. Stack as many in both: ws.gauge.stack([...])."
        )
    for which, params in (("first", a), ("second", b)):
        for name, value in params.items():
            if not _finite(value):
                raise SpecMismatch(f"parameter {name!r} of the {which} network has entries that are not finite.")
    return first


def _finite(value: Tensor) -> bool:
    # A sum says it in one pass, without a copy; it may be infinite where no entry is.
    quick = value.dtype in (torch.float32, torch.float64) and bool(value.sum().isfinite())
    return quick or bool(value.isfinite().all())


def wide(params: Mapping[str, Tensor], spec: SymmetrySpec) -> Params:
    """Float64 where there are floats, or neurons to match: networks may differ in their number types."""
    found = {name: params[name].detach().cpu() for name in spec.axes}
    owned = {name for name, axes in spec.params if any(part.space for axis in axes for part in axis.parts)}
    return {name: v.double() if v.is_floating_point() or name in owned else v for name, v in found.items()}


def stacked(params: Mapping[str, Tensor], spec: SymmetrySpec, single: bool) -> Params:
    """Float64 networks in the order of the spec, stacked."""
    found = wide(params, spec)
    return {name: value.unsqueeze(0) for name, value in found.items()} if single else found


def in_one_unit(left: Params, right: Params, *, together: bool = False) -> tuple[Params, Params]:
    """Both networks of each pair in units of their weights, where products of those would leave float32.

    Args:
        left: Stacked networks in the balanced gauge.
        right: As many others.
        together: One unit for all pairs.
    """
    unit = torch.maximum(units(left, LARGE), units(right, LARGE))
    unit = unit.max().expand(len(unit)) if together else unit
    if bool((unit == 1).all()):
        return left, right

    def moved(params: Params) -> Params:
        shape = {name: (-1, *[1] * (value.dim() - 1)) for name, value in params.items()}
        return {n: v / unit.view(shape[n]) if v.is_floating_point() else v for n, v in params.items()}

    return moved(left), moved(right)
