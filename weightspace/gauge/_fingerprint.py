"""A few numbers that all networks of an orbit share."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ..spec import SymmetrySpec
from ._rows import neuron_rows
from .canonical import canonicalize

_STEP = 0.05


@final
@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Invariants of a network, and a name made of them.

    Attributes:
        text: Names the numbers rounded to 5 %. Networks of one orbit nearly always share it; rounding to 16 bits
            may carry a number over an edge, so compare by ``distance`` where it matters.
        vector: Natural logarithms of the invariants, in the order of spaces and parameters.
    """

    text: str
    vector: Float[Tensor, " k"]

    def distance(self, other: "Fingerprint") -> float:
        """Largest difference of two logarithms; infinite for another number of invariants."""
        if self.vector.shape != other.vector.shape:
            return float("inf")
        return float((self.vector - other.vector).abs().max()) if len(self.vector) else 0.0


def fingerprint(params: Mapping[str, Tensor], spec: SymmetrySpec) -> Fingerprint:
    """Numbers that no element of the gauge changes, of one network.

    In the balanced gauge, where only order and signs are open: of every parameter the sums of |w|, w^2 and w^4, and
    for every space the sums over neurons of products of the norms with which two parameters carry them. The
    products notice a fan-in permuted without its fan-out.

    Raises:
        SpecMismatch: if the parameters do not fit the spec.
    """
    balanced, _, _ = canonicalize(params, spec, scale="balanced", permute=False)
    values: list[Tensor] = []
    for name in spec.axes:
        value = balanced[name].to(torch.float64)
        values += [value.abs().sum(), value.square().sum(), value.square().square().sum()]
    for space in spec.free:
        norms = [rows.square().sum(1).sqrt() for rows in neuron_rows(balanced, spec, space.name)]
        values += [(a * b * b).sum() for k, a in enumerate(norms) for b in norms[:k]]
    vector = torch.stack(values).double().clamp_min(1e-30).log() if values else torch.zeros(0, dtype=torch.float64)
    rounded = (vector / _STEP).round().to(torch.int64).tolist()
    return Fingerprint("ws1-" + hashlib.sha256(repr(rounded).encode()).hexdigest()[:16], vector)
