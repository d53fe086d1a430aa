"""The matrix family reads every kind of network whose symmetry is derived, to the last parameter."""

from functools import cache

import pytest
import torch
from architectures import ARCHITECTURES
from architectures.oracle import random_state
from torch import Tensor

from weightspace import SpecError
from weightspace.gauge import act, inverse, sample, stack
from weightspace.nn import MatrixFunctional, MatrixOperator
from weightspace.nn.matrix._gauge import linear_part
from weightspace.spec import SymmetrySpec, derive
from weightspace.view import MatrixView

PINNED = {"instancenorm_running"}
"""Networks of which derive reads a part, and leaves the rest out of the symmetry."""
REFUSED: set[str] = set()
"""Names of architectures that the family does not read; none is left."""
DRAWS = 3


@cache
def spec_of(name: str) -> SymmetrySpec:
    entry = ARCHITECTURES[name]
    return derive(entry.factory(), entry.example(), on_unknown="pin" if name in PINNED else "refuse")


def networks(name: str) -> tuple[dict[str, Tensor], list[str]]:
    """Four unrelated networks, then the first with 1 % of one parameter tensor changed, and the names of those."""
    module, generator = ARCHITECTURES[name].factory(), torch.Generator().manual_seed(0)
    rows = [{key: value.detach() for key, value in random_state(module, seed).items()} for seed in range(4)]
    names = [key for key, value in rows[0].items() if value.is_floating_point()]
    for key in names:
        value = rows[0][key]
        for _ in range(DRAWS):
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            rows.append(rows[0] | {key: value * (1 + 0.01 * noise)})
    return stack(rows), names


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - REFUSED))
def test_laws_hold_and_every_tensor_is_read_and_changed(name: str) -> None:
    spec = spec_of(name)
    params, names = networks(name)
    some = {key: value[:4] for key, value in params.items()}
    element = sample(spec, 0, num=4)
    there = act(element, some, spec)
    torch.manual_seed(0)
    functional = MatrixFunctional(spec, 8, 16, rounds=2).double()
    operator = MatrixOperator(spec, 8, rounds=2).double()
    with torch.no_grad():
        out = functional({key: torch.cat([params[key], there[key]]) for key in params})
        changes = operator.delta({key: torch.cat([some[key], there[key]]) for key in params})
    spread = (out[:4] - out[:4].roll(1, 0)).abs().max()
    assert spread > 1e-2 * out.abs().max()
    assert (out[-4:] - out[:4]).abs().max() <= 1e-10 * spread
    back = act(inverse(element), {key: value[4:] for key, value in changes.items()}, linear_part(spec))
    for key in names:
        change, size = changes[key][:4], float(some[key].abs().max())
        assert change.abs().max() > 1e-4 * size, key
        assert (back[key] - change).abs().max() <= 1e-10 * change.abs().max(), key
    moves = (out[4:-4] - out[0]).abs().amax(1).view(len(names), DRAWS).amax(1) / spread
    assert moves.min() >= 1e-4, names[int(moves.argmin())]


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_the_view_is_exactly_inverted(name: str) -> None:
    spec, params = spec_of(name), networks(name)[0]
    view = MatrixView(spec)
    written = view.write(view({key: value.double() for key, value in params.items()}))
    assert all(torch.equal(written[key], params[key].double()) for key in params)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_is_named(name: str) -> None:
    with pytest.raises(SpecError, match="parameter '"):
        MatrixView(spec_of(name))
