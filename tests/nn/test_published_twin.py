"""The published models equal their slow edge-list twin: outputs, and gradients by every learned number and network."""

import pytest
import torch
from hypothesis import given, settings
from published_models import EVERY, Params, build, outputs, shared, twin_of, twin_outputs, variants
from published_twin import Twin
from specs import seeds
from torch import Tensor, nn

from weightspace.gauge import neuron_relevance, normal_form, rescale
from weightspace.nn import Preset
from weightspace.nn.published._released import as_released
from weightspace.spec import parse
from weightspace.testing import random_params

LIMIT = 1e-10
POSITIVE = [name for name, preset in EVERY.items() if preset.group == "positive"]
HETERO = [name for name, preset in EVERY.items() if preset.group == "hetero"]
OTHERS = [name for name in EVERY if name not in POSITIVE + HETERO]
LAWFUL = {"backward_edges": "gauge", "epsilon": 0.0}
"""The twin with backward edges that keep the law of positive scales, and norms without a guard."""


def disagreements(
    model: nn.Module, twin: Twin, *, seed: int = 0, positive: Tensor | None = None, bounded: bool = False
) -> dict[str, float]:
    """Relative differences beyond the limit, of outputs and of gradients by learned numbers and networks.

    Args:
        model: A published model.
        twin: With the same numbers.
        seed: Of the networks read.
        positive: For mixed batches.
        bounded: Whether the model bounds the changes of the fan-out of nearly dead neurons, which the twin does not.
    """
    networks = [_leaves(random_params(model.spec, 3, seed=seed, dtype=torch.float64)) for _ in range(2)]
    fast, slow = outputs(model, networks[0], positive), twin_outputs(twin, networks[1], positive)
    if bounded:
        normal, _ = normal_form(networks[1], model.spec)
        change = dict(zip(networks[1], slow, strict=True))
        slow = list(rescale(change, model.spec, fan_in={}, fan_out=neuron_relevance(normal, model.spec)).values())
    # One random direction per output tensor: a loss through which every output matters.
    generator = torch.Generator().manual_seed(seed)
    directions = [torch.randn(value.shape, generator=generator, dtype=torch.float64) for value in fast]
    for values in (fast, slow):
        sum((direction * value).sum() for direction, value in zip(directions, values, strict=True)).backward()
    gaps = {f"output {number}": _gap(a, b) for number, (a, b) in enumerate(zip(fast, slow, strict=True))}
    gaps |= {role: _gap(mine.grad, its.grad) for role, (mine, its) in shared(model, twin).items()}
    # Together: along an orbit the gradient is 0, and a weight alone may have nothing else.
    gaps["by the networks"] = _gap(*(_gradients(network) for network in networks))
    return {name: gap for name, gap in gaps.items() if not gap <= LIMIT}


def _leaves(params: Params) -> Params:
    return {name: value.requires_grad_() for name, value in params.items()}


def _gradients(params: Params) -> Tensor:
    zeros = {name: torch.zeros_like(value) for name, value in params.items()}
    return torch.cat([(zeros[name] if value.grad is None else value.grad).flatten() for name, value in params.items()])


def _gap(have: Tensor | None, want: Tensor | None) -> float:
    if have is None or want is None:  # nothing depends on it, and then a gradient is 0 if there is one
        there = have if want is None else want
        return 0.0 if there is None else float(there.abs().max())
    size = float(want.detach().abs().max())
    return float((have - want).detach().abs().max()) / (size or 1.0)


@pytest.mark.parametrize("name", OTHERS)
def test_sign_models_equal_the_twin(name):
    model = build(name)
    assert not disagreements(model, twin_of(model))


@pytest.mark.parametrize("name", ["mnist_cls", "mnist_edit -B", "cifar10 tanh -B", "svhn relu", "hetero"])
def test_baselines_equal_the_twin(name):
    model = build(f"permutation: {name}")
    assert not disagreements(model, twin_of(model))


@pytest.mark.parametrize("name", POSITIVE)
def test_positive_models_in_normal_form_equal_the_twin_with_lawful_backward_edges(name):
    model = build(EVERY[name])
    assert not disagreements(model, twin_of(model, **LAWFUL), bounded=EVERY[name].readout == "operator")


@pytest.mark.parametrize("backward", ["as_released", "reciprocal"])
@pytest.mark.parametrize("name", POSITIVE)
def test_positive_models_of_history_equal_the_twin(name, backward):
    model = as_released(build(EVERY[name], rounds=3), backward)
    assert not disagreements(model, twin_of(model, backward_edges=backward))


@pytest.mark.parametrize("name", HETERO)
def test_mixed_models_equal_the_twin_for_either_kind_of_network(name):
    for kind, options in ((False, {}), (True, LAWFUL)):
        model = build(name)
        assert not disagreements(model, twin_of(model, **options), positive=torch.full((3,), kind))


@pytest.mark.parametrize("backward", ["as_released", "reciprocal"])
@pytest.mark.parametrize("name", HETERO)
def test_mixed_batches_of_history_equal_the_twin(name, backward):
    model = as_released(build(name), backward)
    twin = twin_of(model, backward_edges=backward)
    assert not disagreements(model, twin, positive=torch.tensor([True, False, True]))


@settings(max_examples=12)
@given(variant=variants(), seed=seeds)
def test_any_choice_of_parts_on_any_chain_equals_the_twin(variant, seed):
    preset, spec = Preset(**variant[0]), parse(variant[1])
    model = build(preset, layout=spec, width=preset.width, seed=seed)
    options = LAWFUL if preset.group == "positive" else {}
    bounded = preset.group == "positive" and preset.readout == "operator"
    assert not disagreements(model, twin_of(model, **options), seed=seed, bounded=bounded)


def test_a_difference_is_seen():
    model = build("mnist_cls -B")
    twin = twin_of(model)
    with torch.no_grad():
        twin.parts[101].weight[0, 0] += 1e-6
    assert disagreements(model, twin)
