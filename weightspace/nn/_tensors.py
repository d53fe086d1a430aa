"""Stacked networks as rows of numbers, tensor by tensor: what can be read of every spec, whatever its symmetry."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from .._errors import SpecError
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
