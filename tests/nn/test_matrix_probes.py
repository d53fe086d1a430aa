"""Probes: activations of the networks themselves, with every symmetry that they have."""

from itertools import pairwise

import pytest
import torch
from matrix_nets import pulled_back
from metanets import double
from pydantic import ValidationError
from test_matrix_behaviour import normed
from torch import nn

import weightspace as ws
from weightspace import ConfigError
from weightspace.gauge import sample
from weightspace.nn import Architecture, MatrixFamily, MatrixFunctional
from weightspace.nn.matrix._probes import Probes
from weightspace.testing import assert_invariant, random_params


class Sine(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(30.0 * x)


class Mixer(nn.Module):
    """A layer over tokens, whose neurons stand on another axis than its labels say."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.tokens, self.out = nn.Linear(3, 5), nn.Linear(4, 4), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.embed(x))
        x = torch.tanh(self.tokens(x.transpose(1, 2)).transpose(1, 2))
        return self.out(x.mean(1))


def dense(activation: type[nn.Module], *widths: int) -> nn.Module:
    layers = [part for d, m in pairwise(widths) for part in (nn.Linear(d, m), activation())]
    return nn.Sequential(*layers[:-1])


def images() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.ReLU(),
        nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3),
    )  # fmt: skip


NETS = {
    "siren": (lambda: dense(Sine, 2, 6, 5, 1), (1, 2)),
    "tanh": (lambda: dense(nn.Tanh, 4, 6, 5, 3), (1, 4)),
    "relu": (lambda: dense(nn.ReLU, 4, 6, 5, 3), (1, 4)),
    "images": (images, (1, 2, 4, 4)),
    "mixer": (Mixer, (1, 4, 3)),
}


def read(name: str) -> tuple[Architecture, nn.Module]:
    torch.manual_seed(0)
    make, shape = NETS[name]
    module, example = make().eval(), torch.randn(shape)
    return Architecture(ws.derive(module, example), module, example), module


def probes_of(model: MatrixFunctional) -> Probes:
    assert model.backbone.probes is not None
    return model.backbone.probes


@pytest.mark.parametrize("derivatives", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_laws_hold_with_probes(name, derivatives):
    known, _ = read(name)
    family = MatrixFamily(width=8, rounds=2, probes=3, derivatives=derivatives)
    functional, operator = family.functional(known, 2).double(), family.operator(known).double()
    params = double(known.spec, 4)
    assert_invariant(functional, known.spec, params, tolerance=1e-10)
    error, change = pulled_back(operator, known.spec, params, sample(known.spec, 1, num=4))
    assert error <= 1e-10
    assert change > 1e-3
    functional(params).square().sum().backward()
    probes = probes_of(functional)
    learned = [probes.inputs, *([probes.cotangent] if derivatives else [])]
    assert all(one is not None and one.grad is not None and one.grad.abs().max() > 0 for one in learned)
    assert probes.channels


def test_probes_alone_read_outputs_on_learned_inputs():
    known, module = read("tanh")
    model = MatrixFamily(width=8, probes=5, weights=False).functional(known, 2).double()
    params = double(known.spec, 3)
    assert_invariant(model, known.spec, params, tolerance=1e-12)
    seen = model.probes(params)[1]
    for row in range(3):
        want = torch.func.functional_call(
            module.double(), {name: value[row] for name, value in params.items()}, (model.probes.inputs,)
        )
        torch.testing.assert_close(seen[row], want.flatten(), rtol=1e-12, atol=1e-12)


def test_activations_and_their_gradients_are_those_of_the_network():
    known, _ = read("tanh")
    family = MatrixFamily(width=8, probes=5, derivatives=True)
    probes = probes_of(family.functional(known, 2).double())
    assert probes.cotangent is not None
    params = double(known.spec, 2)
    outputs, states = probes._run(params, probes.inputs, probes._captures, probes.cotangent)
    place = [(c.module, c.output) for c in probes._captures].index(("0", True))
    for row in range(2):
        own = {name: value[row] for name, value in params.items()}
        z = (probes.inputs @ own["0.weight"].T + own["0.bias"]).detach().requires_grad_()
        y = z.tanh() @ own["2.weight"].T + own["2.bias"]
        y = y.tanh() @ own["4.weight"].T + own["4.bias"]
        torch.testing.assert_close(outputs[row], y.flatten())
        torch.testing.assert_close(states[place][row, ..., 0].T, z)
        (delta,) = torch.autograd.grad(y.flatten() @ probes.cotangent, z)
        torch.testing.assert_close(states[len(probes._captures) + place][row, ..., 0].T, delta)


def test_tensors_whose_neurons_stand_elsewhere_are_left_out():
    known, _ = read("mixer")
    probes = probes_of(MatrixFamily(width=8, rounds=1, probes=3).functional(known, 2))
    assert {one.module for one in probes._captures} >= {"embed", "out"}


def test_norms_and_their_statistics_run_with_the_probes():
    net, spec, params = normed(3, torch.float32)
    known = Architecture(spec, net, torch.randn(1, 4))
    operator = MatrixFamily(width=8, rounds=2, probes=3).operator(known)
    assert torch.equal(operator(params)["norm.num_batches_tracked"], params["norm.num_batches_tracked"])
    assert not any("running" in name for name in operator.state_dict())


def test_probes_move_with_the_model():
    known, _ = read("images")
    model = MatrixFamily(width=8, rounds=1, probes=2).functional(known, 2)
    params = {name: value.to("meta") for name, value in random_params(known.spec, 2).items()}
    assert model.to("meta")(params).is_meta


def test_probes_without_a_network_to_run_are_refused():
    known, _ = read("tanh")
    family = MatrixFamily(probes=4)
    assert family.needs_module
    with pytest.raises(ConfigError, match="takes a module of theirs and an example"):
        family.functional(Architecture(known.spec), 1)
    with pytest.raises(ConfigError, match="whole numbers"):
        family.operator(Architecture(known.spec, known.module, torch.zeros(1, 4, dtype=torch.long)))


def test_derivatives_need_probes() -> None:
    with pytest.raises(ValidationError, match="set probes to 1 or more"):
        MatrixFamily(derivatives=True)
