"""How far trained models keep the symmetry of the networks that they read: measured on real ones, for the report."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from .._types import Params
from ..gauge import Element, act, inverse, sample
from ..nn import AbstractFunctional
from ..spec import SymmetrySpec
from ..tasks import NONE, Table, concatenate, num_networks, select, spread
from ..testing import equivariance_error, invariance_error

MOST = 64
"""Networks on which it is measured."""

_ROUNDINGS = 8
"""Relative change of a weight, in roundings of its type, up to which a copy that is moved back is the network."""


def symmetry_error(module: nn.Module, spec: SymmetrySpec, params: Params, per_pass: int) -> dict[str, Any]:
    """``error``: largest change by random elements, relative to the spread between networks; ``networks`` read.

    Of an operator the error of the changes that it makes, relative to these. Networks whose copies are others are left
    out and counted: weights that decayed to below the smallest ordinary number lose digits when they are scaled.

    Args:
        module: Trained model, in eval mode.
        spec: Symmetry of the networks, not necessarily the model's own.
        params: Unseen networks, stacked.
        per_pass: Networks that go through the model together.
    """
    num = min(num_networks(params), MOST)
    some, element = select(params, spread(num_networks(params), num)), sample(spec, 0, num=num)
    kept = _comes_back(some, element, spec).nonzero()[:, 0]
    found: dict[str, Any] = {"error": None, "networks": len(kept), "left_out": num - len(kept)}
    reads = isinstance(module, AbstractFunctional)
    if len(kept) < (2 if reads else 1):
        return found

    def passed(stack: Params) -> Any:
        parts = [module(select(stack, slice(at, at + per_pass))) for at in range(0, num_networks(stack), per_pass)]
        return torch.cat(parts) if isinstance(parts[0], Tensor) else concatenate(parts)

    if reads:
        error, apart = invariance_error(passed, spec, select(some, kept), element[kept])
        error = error / apart if apart else math.nan
    else:
        error, _ = equivariance_error(passed, spec, select(some, kept), element[kept])
    return found | {"error": error if math.isfinite(error) else None}


def symmetry_table(results: Mapping[str, Any]) -> Table | None:
    """A line for each trained model; ``None`` for results from before it was measured."""
    rows, notes = [], []
    for row in results["rows"]:
        found = row.get("symmetry")
        if found is not None:
            said = NONE if found["error"] is None else f"{found['error']:.1e}"
            rows.append((row.get("label") or row["method"], said, str(found["networks"])))
            if found["left_out"]:
                notes = [f"{found['left_out']} networks left out: their smallest weights lose digits when scaled."]
    if not rows:
        return None
    header = ("method", "gauge error", "networks")
    meanings = (
        "",
        "largest change by random elements of the networks' symmetry, over the spread between networks; none where "
        "answers do not vary or are not finite",
        "unseen networks on which it was measured",
    )
    return Table("How far each model keeps the symmetry", header, meanings, tuple(rows), tuple(notes))


def _comes_back(params: Params, element: Element, spec: SymmetrySpec) -> Bool[Tensor, " b"]:
    back = act(inverse(element), act(element, params, spec), spec)
    same = torch.ones(num_networks(params), dtype=torch.bool)
    for name, value in params.items():
        if value.is_floating_point() and name in spec.axes:
            # Variances move as what they are after something is added.
            offset = sum(axis.parts[0].offset for axis in spec.axes[name])
            allowed = _ROUNDINGS * torch.finfo(value.dtype).eps * (value.abs() + offset)
            same &= ((back[name] - value).abs() <= allowed).reshape(len(value), -1).all(1)
    return same
