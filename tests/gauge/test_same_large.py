"""Networks of real kinds at a quarter of the width: a copy is recognized and undone, a changed weight told apart."""

import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

import weightspace as ws

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from large_networks import ResNet50, ViTSmall16, as_trained

MADE = {
    "resnet": (lambda: ResNet50(0.25, (1, 1, 1, 1)), (1, 3, 32, 32)),
    "vit": (lambda: ViTSmall16(0.25, depth=2, side=32), (1, 3, 32, 32)),
}
Params = dict[str, Tensor]


@cache
def planted(name: str) -> tuple[ws.SymmetrySpec, Params, Params]:
    """The spec, a float32 network with numbers as trained ones have, and a copy moved by a random element."""
    make, shape = MADE[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = as_trained(make(), 0)
    spec, params = ws.derive(module, torch.zeros(shape), verify=False), dict(module.state_dict())
    wide = {key: value.double() if value.is_floating_point() else value for key, value in params.items()}
    moved = ws.act(ws.sample(spec, 1, max_scale=4.0), wide, spec)
    return spec, params, {key: value.to(params[key]) for key, value in moved.items()}


@pytest.mark.parametrize("name", MADE)
def test_a_copy_is_recognized_and_one_weight_changed_by_one_percent_told_apart(name: str) -> None:
    spec, params, copy = planted(name)
    seen: list[tuple[int, int]] = []
    assert ws.same(params, copy, spec, progress=lambda done, total, _: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == len({total for _, total in seen}) * seen[0][1]
    largest = max((key for key in copy if copy[key].ndim > 1), key=lambda key: copy[key].numel())
    value = copy[largest].clone()
    value.view(-1)[int(value.abs().argmax())] *= 1.01
    assert not ws.same(params, copy | {largest: value}, spec)


@pytest.mark.parametrize("name", MADE)
def test_alignment_of_a_copy_undoes_its_element(name: str) -> None:
    spec, params, copy = planted(name)
    found = ws.align(params, copy, spec)
    for key, value in params.items():
        torch.testing.assert_close(found.params[key], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()))
