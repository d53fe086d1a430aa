"""What a family owes to an architecture that it reads: laws, and eyes for every number of it."""

import torch
from torch import Tensor

from weightspace.gauge import Element, act, inverse, sample, stack
from weightspace.nn import AbstractFamily, AbstractOperator, Architecture
from weightspace.spec import SymmetrySpec, linear_part

from . import ARCHITECTURES
from .oracle import random_state

DRAWS = 2
"""Random changes of a tensor, of which one has to be seen."""


def assert_read(family: AbstractFamily, name: str, spec: SymmetrySpec, least: float) -> None:
    """Assert both laws, and that 1 % of any one tensor moves the functional by ``least`` of the spread."""
    params, names = networks(name)
    some = {key: value[:4] for key, value in params.items()}
    element = sample(spec, 0, num=4)
    there = act(element, some, spec)
    torch.manual_seed(0)
    functional = family.functional(Architecture(spec), 16).double()
    operator = family.operator(Architecture(spec)).double()
    with torch.no_grad():
        out = functional({key: torch.cat([params[key], there[key]]) for key in params})
    spread = (out[:4] - out[:4].roll(1, 0)).abs().max()
    assert spread > 1e-2 * out.abs().max()
    assert (out[-4:] - out[:4]).abs().max() <= 1e-10 * spread
    error, smallest = pulled_back(operator, spec, some, element)
    assert error <= 1e-10
    assert smallest > 1e-4
    moves = (out[4:-4] - out[0]).abs().amax(1).view(len(names), DRAWS).amax(1) / spread
    assert moves.min() >= least, names[int(moves.argmin())]


def networks(name: str) -> tuple[dict[str, Tensor], list[str]]:
    """Four unrelated networks, then the first with every entry of one tensor moved by 1 %, and the names of those."""
    module, generator = ARCHITECTURES[name].factory(), torch.Generator().manual_seed(0)
    rows = [{key: value.detach() for key, value in random_state(module, seed).items()} for seed in range(4)]
    names = [key for key, value in rows[0].items() if value.is_floating_point()]
    for key in names:
        value = rows[0][key]
        for _ in range(DRAWS):
            sign = torch.randint(0, 2, value.shape, generator=generator) * 2 - 1
            rows.append(rows[0] | {key: value * (1 + 0.01 * sign)})
    return stack(rows), names


def pulled_back(
    operator: AbstractOperator, spec: SymmetrySpec, params: dict[str, Tensor], element: Element
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
