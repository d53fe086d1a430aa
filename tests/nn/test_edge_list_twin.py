"""The dense metanetworks equal the slow edge-list twin: outputs, and all gradients."""

import pytest
import torch
from edge_list_twin import Twin
from hypothesis import given, settings
from metanets import BOTH, HALF_THE_CHOICES, USUAL, Choice, Metanet, Params, build, choices, double, row
from specs import seeds, specs
from torch import Tensor

from weightspace.nn import EquivariantOperator
from weightspace.spec import SymmetrySpec

ROUNDS = 2
LIMIT = 1e-10


def fresh(tensors: Params) -> Params:
    """Leaves that collect gradients."""
    return {
        name: value.detach().clone().requires_grad_() if value.is_floating_point() else value
        for name, value in tensors.items()
    }


def gap(have: Tensor, want: Tensor) -> float:
    if want.numel() == 0:
        return 0.0
    size = float(want.detach().abs().max())
    return float((have - want).detach().abs().max()) / (size or 1.0)


def agree(model: Metanet, spec: SymmetrySpec, choice: Choice, seed: int) -> dict[str, float]:
    """Relative differences of outputs, of parameter gradients and of gradients by the networks read."""
    stack, learned = fresh(double(spec, 2, seed)), fresh(model.state_dict())
    twin = Twin(spec, choice, ROUNDS, learned)
    networks = [fresh({name: value[0] for name, value in row(stack, index).items()}) for index in range(2)]
    if isinstance(model, EquivariantOperator):
        dense = list(model.delta(stack).values())
        each = [twin.delta(network) for network in networks]
        slow = [torch.stack([changes[name] for changes in each]) for name in spec.axes]
    else:
        dense, slow = [model(stack)], [torch.stack([twin.functional(network) for network in networks])]
    # One random direction per output tensor: a loss through which every output matters.
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(value.shape, generator=generator, dtype=torch.float64) for value in dense]
    for outputs in (dense, slow):
        sum((w * out).sum() for w, out in zip(weights, outputs, strict=True)).backward()
    gaps = {f"output {index}": gap(a, b) for index, (a, b) in enumerate(zip(dense, slow, strict=True))}
    for name, parameter in model.named_parameters():
        gaps[name] = gap(*(_gradient(value) for value in (parameter, learned[name])))
    for name, value in stack.items():
        gaps[f"by {name}"] = gap(_gradient(value), torch.stack([_gradient(network[name]) for network in networks]))
    return gaps


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize("choice", HALF_THE_CHOICES, ids=lambda c: f"{c.direction}-{c.sign}-{c.positive}")
@pytest.mark.parametrize("spec", USUAL.values(), ids=USUAL)
def test_usual_networks(model, choice, spec):
    gaps = agree(build(model, spec, choice, width=4, rounds=ROUNDS), spec, choice, seed=0)
    assert not {name: value for name, value in gaps.items() if not value <= LIMIT}


@settings(max_examples=12)
@given(spec=specs(), choice=choices, seed=seeds)
def test_random_networks(spec, choice, seed):
    for kind in BOTH:
        gaps = agree(build(kind, spec, choice, seed=seed, width=4, rounds=ROUNDS), spec, choice, seed)
        assert not {name: value for name, value in gaps.items() if not value <= LIMIT}
