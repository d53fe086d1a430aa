"""Stacked networks as rows of numbers, tensor by tensor: what can be read of every spec, whatever its symmetry."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from .._errors import SpecError
from ..gauge import safe_norm
from ..spec import SymmetrySpec, num_parameters


def readable(spec: SymmetrySpec) -> dict[str, int]:
    """The number of entries of every tensor that has any, by name.

    Raises:
        SpecError: if there is none.
    """
    sizes = {name: num_parameters(spec, [name]) for name in spec.axes}
    found = {name: size for name, size in sizes.items() if size}
    if not found:
        raise SpecError(f"the architecture {spec} has no parameters, so there is nothing to read.")
    return found


def rows(params: Mapping[str, Tensor], sizes: Mapping[str, int], own: Tensor) -> dict[str, Float[Tensor, "b _"]]:
    """The named tensors of stacked networks, one row each.

    A spec says nothing of number types, so tensors of whole numbers (counters, masks) have their place here too: they
    read as zeros, which says nothing.

    Args:
        params: Stacked networks ``[b, *shape]``.
        sizes: Entries of the tensors to read.
        own: Something of the reader's number type.
    """
    flat = {name: params[name].reshape(-1, size) for name, size in sizes.items()}
    return {name: x if x.is_floating_point() else own.new_zeros(x.shape) for name, x in flat.items()}


def in_units(x: Float[Tensor, "b ..."]) -> tuple[Float[Tensor, "b ..."], Float[Tensor, " b"]]:
    """Every network's numbers divided by their root mean square, and that; zeros stay zero."""
    unit = safe_norm(x.flatten(1)) / x[0].numel() ** 0.5
    # A quotient and no product with the reciprocal, whose derivative at 1e-30 is too large for float32.
    return x / unit.where(unit > 0, 1.0).reshape(-1, *[1] * (x.ndim - 1)), unit


def log_unit(unit: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The logarithm of a unit as a feature: bounded, whatever became of the network."""
    return (unit + 1e-12).log().clamp(-10.0, 10.0)
