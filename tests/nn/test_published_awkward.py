"""Zero, tiny and huge weights, dead and mute neurons: published models stay finite, gradients too, and keep the law."""

import pytest
import torch
from metanets import Params, awkward, gauges, pulled_back_error
from published_models import EVERY, build, outputs
from torch import Tensor, nn

from weightspace.gauge import act
from weightspace.spec import SymmetrySpec

POSITIVE = [name for name, preset in EVERY.items() if preset.group in ("positive", "hetero")]
NORMALIZED = [name for name, preset in EVERY.items() if preset.norm]
"""Without LayerNorm a state is cubed in every round, as published: no format holds what weights of 1e15 become."""


def finite(model: nn.Module, params: Params) -> bool:
    """Whether outputs and the gradients of all learned numbers are."""
    num = len(next(iter(params.values())))
    found = [*outputs(model, params, torch.arange(num) % 2 == 0), *outputs(model, params, torch.arange(num) % 2 == 1)]
    sum(_level(value).sum() for value in found).backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return all(bool(value.isfinite().all()) for value in [*found, *grads])


def _level(x: Tensor) -> Tensor:
    """Numbers of one size for every network; an operator's changes are as large or small as its network is."""
    size = x.detach().flatten(1).abs().amax(1, keepdim=True)
    return x.flatten(1) / size.where(size > 0, 1.0)


@pytest.mark.parametrize("name", NORMALIZED)
def test_everything_is_finite_in_float64(name):
    model = build(EVERY[name], rounds=2)
    assert finite(model, awkward(model.spec, torch.float64))


def moderate(spec: SymmetrySpec) -> Params:
    """The awkward networks in float32, without the huge weights: a state is multiplied by weights in every round."""
    params = awkward(spec, torch.float32)
    size = torch.stack([value.flatten(1).abs().amax(1) for value in params.values()]).amax(0)
    assert 10 < int((size < 1e10).sum()) < len(size)
    return {name: value[size < 1e10] for name, value in params.items()}


@pytest.mark.parametrize("name", NORMALIZED)
def test_everything_is_finite_in_float32(name):
    model = build(EVERY[name], rounds=2, dtype=torch.float32)
    assert finite(model, moderate(model.spec))


@pytest.mark.parametrize("name", POSITIVE)
def test_gradients_are_finite_for_a_network_of_zeros_alone(name):
    model = build(EVERY[name], rounds=2, dtype=torch.float32)
    zeros = {key: torch.zeros_like(value[:2]) for key, value in moderate(model.spec).items()}
    assert finite(model, zeros)


@pytest.mark.parametrize("name", [name for name in POSITIVE if EVERY[name].group == "positive"])
def test_positive_models_keep_the_law_network_by_network(name):
    model = build(EVERY[name])
    params = awkward(model.spec, torch.float64)
    element = gauges(model.spec, len(next(iter(params.values()))))
    if EVERY[name].readout == "operator":
        assert pulled_back_error(model, model.spec, params, element).max() <= 1e-9
        return
    with torch.no_grad():
        here, there = model(params), model(act(element, params, model.spec))
    assert (there - here).abs().max() <= 1e-9 * (here - here.roll(1, 0)).abs().max()
