"""Dropout in training: it breaks no law, spares the changes of an operator, and is off in eval mode."""

from dataclasses import replace

import pytest
import torch
from golden import parts
from metanets import double, gauges
from published_models import EVERY, Params, build, outputs, twin_of, twin_outputs
from torch import Tensor

from weightspace.gauge import Element, act
from weightspace.nn import PRESETS, Preset
from weightspace.spec import SymmetrySpec

SOME = ["mnist_cls", "mnist_cls -B", "fmnist_cls -B", "cifar_inr", "cifar_inr -B", "mnist_edit -B", "positive edit -B"]


def everywhere(preset: Preset) -> Preset:
    """The configuration with dropout on states and on the hidden units of every MLP."""
    return replace(preset, dropout=0.3, mlp_dropout=0.3)


def scales_alone(spec: SymmetrySpec, num: int) -> Element:
    """Elements that leave every neuron in its place: a mask belongs to places."""
    element = gauges(spec, num)
    return replace(
        element, perm={name: torch.arange(perm.shape[1]).expand(num, -1) for name, perm in element.perm.items()}
    )


def with_mask(seed: int, read, *args) -> list[Tensor]:
    """What is read with the dropout of a seed."""
    torch.manual_seed(seed)
    with torch.no_grad():
        return read(*args)


def gap(have: list[Tensor], want: list[Tensor]) -> float:
    """Largest difference relative to the largest number, tensor by tensor."""
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(have, want, strict=True))


def moved(found: list[Tensor], params: Params, element: Element, spec: SymmetrySpec) -> list[Tensor]:
    """Outputs as the gauge moves them: an operator's changes as the parameters, a functional's vectors not at all."""
    if len(found) == 1:
        return found
    return list(act(element, dict(zip(params, found, strict=True)), spec).values())


@pytest.mark.parametrize("name", SOME)
def test_scales_keep_their_law_under_any_mask(name):
    model = build(everywhere(EVERY[name]), rounds=3).train()
    spec, params = model.spec, double(model.spec, 4)
    element = scales_alone(spec, 4)
    for seed in range(2):
        here, there = (with_mask(seed, outputs, model, p) for p in (params, act(element, params, spec)))
        assert gap(there, moved(here, params, element, spec)) <= 1e-10
    assert gap(with_mask(7, outputs, model, params), here) > 1e-3  # masks differ, and they matter


@pytest.mark.parametrize("name", [*SOME, "svhn relu -B", "hetero -B", "permutation: mnist_edit -B"])
def test_the_hidden_units_of_every_mlp_are_dropped_in_training(name):
    # All of them: then what an MLP reads does not matter, and its matrices get no gradient.
    preset = build(EVERY.get(name, name)).preset
    model = build(replace(preset, rounds=2, mlp_dropout=1.0)).train()
    for training in (True, False):
        model.train(training).zero_grad()
        sum(value.square().sum() for value in outputs(model, double(model.spec, 2))).backward()
        mlps = [part for part in parts(model).values() if hasattr(part, "second")]
        found = [part.second.weight.grad for part in mlps if part.second.weight.grad is not None]
        assert len(found) > 3
        assert all(grad.any() != training for grad in found)


def test_two_masks_in_one_symmetrized_invariant_break_signs():
    model = build(everywhere(PRESETS["mnist_cls"])).train()
    twin = twin_of(model)  # draws a mask for each sign, as released
    params, element = double(model.spec, 4), scales_alone(model.spec, 4)
    here, there = (with_mask(0, twin_outputs, twin, p) for p in (params, act(element, params, model.spec)))
    assert gap(there, here) > 1e-3


@pytest.mark.parametrize(
    "name", ["mnist_edit", "mnist_edit -B", "permutation: mnist_edit", "permutation: mnist_edit -B"]
)
def test_the_changes_of_an_operator_are_not_dropped(name):
    # With one round there is nothing before the changes that could be dropped.
    preset = replace(build(name).preset, rounds=1, dropout=0.9, mlp_dropout=0.0)
    model = build(preset).train()
    params = double(model.spec, 4)
    trained, evaluated = with_mask(0, outputs, model, params), with_mask(0, outputs, model.eval(), params)
    assert all(torch.equal(a, b) for a, b in zip(trained, evaluated, strict=True))
    twin = twin_of(model).train()  # drops the changes of biases, as released
    changes = dict(zip(params, with_mask(0, twin_outputs, twin, params), strict=True))
    assert (changes["layers.1.bias"] == 0).any()


def test_states_before_the_last_round_of_an_operator_are_dropped():
    model = build(replace(PRESETS["mnist_edit -B"], rounds=2, dropout=0.5, mlp_dropout=0.0)).train()
    params = double(model.spec, 4)
    here, there = (with_mask(seed, outputs, model, params) for seed in (0, 1))
    assert gap(here, there) > 1e-3
    assert all((change != 0).all() for change in here)


@pytest.mark.parametrize(
    "name", ["mnist_cls", "fmnist_cls -B", "mnist_edit -B", "svhn relu", "hetero -B", "permutation: cifar_inr"]
)
def test_nothing_is_dropped_in_eval_mode(name):
    preset = replace(build(name).preset, rounds=3)
    model, plain = build(everywhere(preset)), build(replace(preset, dropout=0.0, mlp_dropout=0.0)).train()
    params = double(model.spec, 4)
    first, second, want = (with_mask(s, outputs, m, params) for s, m in ((0, model), (1, model), (2, plain)))
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(first, second, want, strict=True))
