"""The matrix family reads every kind of network whose symmetry is derived, to the last parameter."""

from functools import cache

import pytest
import torch
from architectures import ARCHITECTURES
from architectures.oracle import random_state
from architectures.test_derive_architectures import moved
from matrix_nets import pulled_back
from torch import Tensor

from weightspace import SpecError
from weightspace.gauge import act, sample, stack
from weightspace.nn import MatrixFunctional, MatrixOperator
from weightspace.spec import SymmetrySpec, derive
from weightspace.view import MatrixView

PINNED = {"instancenorm_running"}
"""Networks of which derive reads a part, and leaves the rest out of the symmetry."""
REFUSED: set[str] = set()
"""Names of architectures that the family does not read; none is left."""
DRAWS = 4
"""Random changes of a tensor, of which one has to be seen."""


@cache
def spec_of(name: str) -> SymmetrySpec:
    if name in PINNED:
        entry = ARCHITECTURES[name]
        return derive(entry.factory(), entry.example(), on_unknown="pin")
    return moved(name)[2]  # derived once for all tests


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


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - REFUSED))
def test_laws_hold_and_every_tensor_is_read_and_changed(name: str) -> None:
    spec = spec_of(name)
    params, names = networks(name)
    some = {key: value[:4] for key, value in params.items()}
    view = MatrixView(spec)
    written = view.write(view(some))
    assert all(torch.equal(written[key], some[key]) for key in some)
    element = sample(spec, 0, num=4)
    there = act(element, some, spec)
    torch.manual_seed(0)
    functional = MatrixFunctional(spec, 8, 16, rounds=2).double()
    operator = MatrixOperator(spec, 8, rounds=2).double()
    with torch.no_grad():
        out = functional({key: torch.cat([params[key], there[key]]) for key in params})
    spread = (out[:4] - out[:4].roll(1, 0)).abs().max()
    assert spread > 1e-2 * out.abs().max()
    assert (out[-4:] - out[:4]).abs().max() <= 1e-10 * spread
    error, smallest = pulled_back(operator, spec, some, element)
    assert error <= 1e-10
    assert smallest > 1e-4
    moves = (out[4:-4] - out[0]).abs().amax(1).view(len(names), DRAWS).amax(1) / spread
    assert moves.min() >= 1e-4, names[int(moves.argmin())]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_is_named(name: str) -> None:
    with pytest.raises(SpecError, match="parameter '"):
        MatrixView(spec_of(name))
