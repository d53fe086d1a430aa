"""Other routes to the same numbers: many rows in float32, parts instead of fused steps, rounds computed twice."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from metanets import double
from published_models import EVERY, Params, build, outputs
from torch import Tensor, nn
from torch.utils import checkpoint as torch_checkpoint

import weightspace as ws
from weightspace.nn._linear import MIN_ROWS, MIN_WIDTH, matmul


def numbers(model: nn.Module, params: Params) -> dict[str, Tensor]:
    """Outputs, and gradients of a loss through which every output matters, by the name of what they belong to."""
    out = outputs(model, params)
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value) for value in out]
    sum((direction * value).sum() for direction, value in zip(directions, out, strict=True)).backward()
    found = {str(index): value.detach() for index, value in enumerate(out)}
    return found | {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def worst(have: dict[str, Tensor], want: dict[str, Tensor]) -> float:
    """Largest relative difference over all tensors."""
    assert have.keys() == want.keys()
    return max(float(torch.linalg.vector_norm(have[k] - want[k]) / torch.linalg.vector_norm(want[k])) for k in want)


@pytest.mark.parametrize("name", ["mnist_edit -B", "mnist_cls", "cifar10 relu -B", "permutation: cifar_inr -B"])
def test_many_rows_in_float32_give_the_numbers_of_float64(name):
    preset = replace(build(name).preset, rounds=2, width=MIN_WIDTH)
    layout = (6, 16, 16, 4)
    num = MIN_ROWS // 64 + 1  # rows of the smallest weight alone are many then, and one product takes another route
    models = [build(preset, layout=layout, width=None, dtype=dtype) for dtype in (torch.float32, torch.float64)]
    params = double(models[0].spec, num)
    single = {key: value.float() for key, value in params.items()}
    assert worst({k: v.double() for k, v in numbers(models[0], single).items()}, numbers(models[1], params)) <= 1e-3


@pytest.mark.parametrize("rows", [MIN_ROWS - 1, MIN_ROWS, MIN_ROWS + 3])
def test_a_product_of_many_rows_is_a_product(rows):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(rows, 48), torch.randn(40, 48), torch.randn(40)
    found = []
    for dtype in (torch.float32, torch.float64):  # float64 takes the plain product
        leaves = [value.clone().to(dtype).requires_grad_() for value in (x, weight, bias)]
        out = matmul(*leaves)
        out.square().sum().backward()
        found.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for a, b in zip(*found, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.mark.parametrize("name", ["mnist_edit", "mnist_edit -B", "cifar_inr", "cifar_inr -B", "hetero"])
def test_parts_and_fused_steps_give_the_same_numbers(name):
    # With dropout in training the parts stand for the fused steps; a probability this small drops nothing.
    preset = replace(EVERY[name], rounds=3, dropout=0.0, mlp_dropout=1e-14)
    fused, parts = build(preset).eval(), build(preset).train()
    params = double(fused.spec, 3)
    assert worst(numbers(parts, params), numbers(fused, params)) <= 1e-10


@pytest.mark.parametrize(
    "name", ["fmnist_cls -B", "mnist_edit -B", "cifar10 relu -B", "hetero", "permutation: mnist_cls -B"]
)
def test_rounds_computed_twice_give_the_same_numbers(name):
    kept, again = build(name, rounds=3).train(), ws.nn.checkpointed(build(name, rounds=3)).train()
    params = double(kept.spec, 4)
    found = []
    for model in (kept, again):
        torch.manual_seed(0)  # the same dropout
        found.append(numbers(model, params))
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


@pytest.mark.parametrize("default", [False, True])
def test_generators_of_the_device_are_set_back_before_rounds_are_computed_again(default, monkeypatch):
    # Torch takes the device from the tensors that it finds among the arguments; with none on it, dropout on an
    # accelerator would drop other units the second time. Here a CPU stands for it.
    found = []
    spy = torch_checkpoint.get_device_states

    def devices(*args):
        found.append([leaf.device for leaf in torch.utils._pytree.tree_leaves(args) if isinstance(leaf, Tensor)])
        return spy(*args)

    monkeypatch.setattr(torch_checkpoint, "get_device_states", devices)
    monkeypatch.setattr(torch_checkpoint, "_get_device_module", lambda _: SimpleNamespace(_initialized=True))
    published = ws.nn.checkpointed(build("mnist_edit -B", rounds=2)).train()
    model = (
        ws.nn.checkpointed(ws.nn.EquivariantOperator(published.spec, 8, rounds=2).double()) if default else published
    )
    outputs(model, double(model.spec, 2))
    assert len(found) == 2
    assert all(found)
