"""What the tests of the matrix family share."""

import torch
from architectures.reading import pulled_back as pulled_back
from torch import Tensor

from weightspace.nn import MatrixFunctional, MatrixOperator
from weightspace.spec import SymmetrySpec

BOTH = (MatrixFunctional, MatrixOperator)
Model = MatrixFunctional | MatrixOperator


def build(
    model: type[Model],
    spec: SymmetrySpec,
    *,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    width: int = 12,
    rounds: int = 3,
    **options: object,
) -> Model:
    """A metanetwork with the weights of ``seed``; functionals have two outputs."""
    torch.manual_seed(seed)
    out = {"out": 2} if model is MatrixFunctional else {}
    return model(spec, width, rounds=rounds, **out, **options).to(dtype)  # pyright: ignore[reportArgumentType]


def bounded(changes: dict[str, Tensor]) -> Tensor:
    """A loss of changes that has the same size for every network and tensor."""
    total = torch.zeros(())
    for value in changes.values():
        flat = value.reshape(len(value), -1)
        size = flat.detach().abs().amax(1, keepdim=True)
        total = total + (flat / size.where(size > 0, 1.0)).square().sum()
    return total
