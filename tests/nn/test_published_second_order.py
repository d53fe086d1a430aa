"""Gradients of gradients: published models refuse them, default models have them."""

import pytest
import torch
from metanets import double
from published_models import EVERY, build, outputs

import weightspace as ws

NAMES = ["mnist_cls", "cifar_inr -B", "mnist_edit -B", "cifar10 relu -B", "hetero", "permutation: mnist_cls -B"]


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("of", ["networks", "model"])
@pytest.mark.parametrize("name", NAMES)
def test_published_models_refuse_create_graph(name, of, checkpointed):
    model = build(EVERY.get(name, name), rounds=2)
    model = ws.nn.checkpointed(model) if checkpointed else model
    params = {key: value.requires_grad_() for key, value in double(model.spec, 2).items()}
    leaves = list(params.values() if of == "networks" else model.backbone.embed.parameters())

    def gradients(create_graph: bool) -> tuple:
        loss = sum(value.square().sum() for value in outputs(model, params))
        return torch.autograd.grad(loss, leaves, create_graph=create_graph, allow_unused=True)

    with pytest.raises(NotImplementedError, match=r"first order only.*ws\.nn\.EquivariantOperator"):
        gradients(True)
    assert any(found is not None for found in gradients(False))


@pytest.mark.parametrize("kind", ["functional", "operator"])
def test_default_models_have_gradients_of_gradients(kind):
    spec = build("cifar10 relu", layout=(1, 2, 1)).spec
    torch.manual_seed(0)
    default = ws.nn.InvariantFunctional(spec, 2, rounds=1, out=1) if kind == "functional" else None
    model = (default or ws.nn.EquivariantOperator(spec, 2, rounds=1)).double()
    params = {key: value.requires_grad_() for key, value in double(spec, 1).items()}

    def read(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(outputs(model, dict(zip(params, values, strict=True))))

    assert torch.autograd.gradgradcheck(read, tuple(params.values()), rtol=1e-3, atol=1e-5)
