"""A few numbers that all networks of an orbit share."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from .._errors import SpecMismatch
from ..spec import SymmetrySpec
from .canonical import canonicalize, units
from .index import neuron_rows

_STEP = 0.05
KIND = "ws2"
"""Which invariants these are: a kept vector is compared with others of its kind only."""


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
        SpecMismatch: if the parameters do not fit the spec, or are not finite real numbers.
    """
    if spec.check(params) is not None:
        raise SpecMismatch("the parameters stack several networks. Take ws.gauge.fingerprints(params, spec).")
    vector = fingerprints({name: params[name].unsqueeze(0) for name in spec.axes}, spec)[0]
    rounded = (vector / _STEP).round().to(torch.int64).tolist()
    return Fingerprint(f"{KIND}-" + hashlib.sha256(repr(rounded).encode()).hexdigest()[:16], vector)


def fingerprints(params: Mapping[str, Tensor], spec: SymmetrySpec) -> Float[Tensor, "b k"]:
    """The vectors of the fingerprints of stacked networks, one row each; see :func:`fingerprint`.

    Many times faster than one by one. How far the balanced gauge is settled depends on the networks beside: entries
    may differ by some 1e-11.

    Raises:
        SpecMismatch: if the parameters do not fit the spec, are not finite real numbers, or those of one network.
    """
    if spec.check(params) is None:
        raise SpecMismatch("the parameters are of one network. Take ws.fingerprint(params, spec), or stack several.")
    balanced, _, _ = canonicalize(params, spec, scale="balanced", permute=False)
    wide = {name: balanced[name].to(torch.float64) for name in spec.axes}
    unit = units(wide)
    scaled = {name: value / unit.view(-1, *[1] * (value.dim() - 1)) for name, value in wide.items()}
    values = torch.vmap(lambda network: _invariants(network, spec))(scaled)
    return values.clamp_min(1e-30).log() + _powers(spec, values.shape[1]) * unit.log().unsqueeze(1)


def _powers(spec: SymmetrySpec, num: int) -> Float[Tensor, " k"]:
    """By which power of the weights each invariant grows."""
    sums = [1.0, 2.0, 4.0] * len(spec.axes)
    return torch.tensor([*sums, *[3.0] * (num - len(sums))], dtype=torch.float64)


def _invariants(balanced: Mapping[str, Tensor], spec: SymmetrySpec) -> Float[Tensor, " k"]:
    values: list[Tensor] = []
    for name in spec.axes:
        value = balanced[name]
        values += [value.abs().sum(), value.square().sum(), value.square().square().sum()]
    for space in spec.free:
        norms = [rows.square().sum(1).sqrt() for rows in neuron_rows(balanced, spec, space.name)]
        values += [(a * b * b).sum() for k, a in enumerate(norms) for b in norms[:k]]
    return torch.stack(values)


def invariant_names(spec: SymmetrySpec, num: int) -> list[str]:
    """What each of ``num`` invariants is taken of: parameters, then products of the norms of a neuron's parameters."""
    sums = [name for name in spec.axes for _ in range(3)]
    return [*sums, *["which neuron has which weights"] * (num - len(sums))]
