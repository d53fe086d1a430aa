"""What the tests of the matrix family share."""

import torch
from torch import Tensor

from weightspace.gauge import Element, act, inverse
from weightspace.nn import MatrixFunctional, MatrixOperator
from weightspace.nn.matrix._gauge import linear_part
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


def pulled_back(
    operator: MatrixOperator, spec: SymmetrySpec, params: dict[str, Tensor], element: Element
) -> tuple[float, float]:
    """For any spec: the largest error of the changes in the first gauge, and the smallest change, both relative."""
    num = len(next(iter(params.values())))
    there = act(element, params, spec)
    with torch.no_grad():
        both = operator.delta({name: torch.cat([params[name], there[name]]) for name in params})
    back = act(inverse(element), {name: value[num:] for name, value in both.items()}, linear_part(spec))
    errors, sizes = [], []
    for name in (name for name in params if params[name].is_floating_point()):
        change = both[name][:num]
        errors.append(float((back[name] - change).abs().max() / change.abs().max()))
        sizes.append(float(change.abs().max() / params[name].abs().max()))
    return max(errors), min(sizes)


def bounded(changes: dict[str, Tensor]) -> Tensor:
    """A loss of changes that has the same size for every network and tensor."""
    total = torch.zeros(())
    for value in changes.values():
        flat = value.reshape(len(value), -1)
        size = flat.detach().abs().amax(1, keepdim=True)
        total = total + (flat / size.where(size > 0, 1.0)).square().sum()
    return total
