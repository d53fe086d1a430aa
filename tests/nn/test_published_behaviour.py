"""What a user of the published models relies on: stacks, saved models, specs of other names, changes in place."""

from dataclasses import replace

import pytest
import torch
from metanets import double, row
from published_models import EVERY, Params, build, outputs
from torch import Tensor, nn

import weightspace as ws
from weightspace.nn import PRESETS
from weightspace.nn.published._released import reciprocal
from weightspace.spec import parse
from weightspace.testing import random_params

OPERATORS = [name for name, preset in EVERY.items() if preset.readout == "operator"]
SOME = ["mnist_cls -B", "fmnist_cls", "cifar10 relu -B", "svhn relu", "positive edit -B", "hetero -B"]


def read(model: nn.Module, params: Params) -> list[Tensor]:
    """Outputs, and all networks positive for a mixed model."""
    with torch.no_grad():
        return outputs(model, params, torch.ones(len(next(iter(params.values()))), dtype=torch.bool))


def same(have: list[Tensor], want: list[Tensor], tolerance: float = 1e-12) -> bool:
    return all((a - b).abs().max() <= tolerance * b.abs().max() for a, b in zip(have, want, strict=True))


@pytest.mark.parametrize(
    "name", [*SOME, "cifar_inr aug -B", "cifar10 tanh", "mnist_edit -B", "permutation: mnist_cls -B"]
)
def test_networks_of_a_stack_do_not_interact(name):
    model = build(EVERY.get(name, name), rounds=3)
    params = double(model.spec, 3)
    others = {key: 10.0 * value for key, value in double(model.spec, 2, seed=1).items()}
    mixed = {key: torch.cat([others[key], params[key]]) for key in params}
    together, elsewhere = read(model, params), read(model, mixed)
    assert same([value[2:] for value in elsewhere], together)
    for index in range(3):
        assert same([value[index : index + 1] for value in together], read(model, row(params, index)))


@pytest.mark.parametrize("name", SOME)
def test_a_saved_model_loads_to_the_same_output(name):
    trained, fresh = build(EVERY[name], rounds=3), build(EVERY[name], rounds=3, seed=1)
    params = double(trained.spec, 2)
    assert not same(read(fresh, params), read(trained, params))
    fresh.load_state_dict(trained.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(read(fresh, params), read(trained, params), strict=True))


@pytest.mark.parametrize("name", SOME)
def test_the_same_seed_gives_the_same_model(name):
    preset = replace(EVERY[name], layout=(2, 3, 2), width=4, rounds=2)
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        models.append(ws.nn.paper(preset))
    first, again, other = (list(model.state_dict().values()) for model in models)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_default_layout_is_the_published_one():
    sizes = {name: tuple(space.size for space in ws.nn.paper(name, width=2, rounds=1).spec.spaces) for name in PRESETS}
    inr, cnn = {(2, 32, 32, 1), (2, 32, 32, 3)}, {(1, 16, 16, 16, 10)}
    assert all(layout in (cnn if PRESETS[name].kernel == 3 else inr) for name, layout in sizes.items())
    assert {name for name in PRESETS if sizes[name][-1] == 3} == {name for name in PRESETS if "cifar_inr" in name}
    shapes = {name: ws.nn.paper("svhn tanh").spec.shape(f"layers.{name}.weight") for name in (0, 2, 3)}
    assert shapes == {0: (16, 1, 3, 3), 2: (16, 16, 3, 3), 3: (10, 16)}


def test_options_replace_the_published_sizes():
    model = ws.nn.paper("mnist_cls", layout=(3, 4, 2), width=6, rounds=5, out=7)
    assert (model.preset.width, model.preset.rounds, model.preset.out) == (6, 5, 7)
    assert len(model.backbone.rounds) == 5
    assert model(random_params(model.spec, 3)).shape == (3, 7)


def test_a_spec_with_other_names_and_order_is_read_as_the_layout():
    spaces = "net_out[3] fixed\nmid[4] sign\npixels[2] fixed"
    spec = parse(f"{spaces}\n\nhead.b net_out\nhead.w net_out mid~\nbody.b mid\nbody.w mid pixels~")
    named, plain = (build("mnist_edit -B", layout=layout, rounds=3) for layout in (spec, (2, 4, 3)))
    params = double(plain.spec, 2)
    names = {
        "layers.0.weight": "body.w",
        "layers.0.bias": "body.b",
        "layers.1.weight": "head.w",
        "layers.1.bias": "head.b",
    }
    renamed = {names[key]: value for key, value in params.items()}
    with torch.no_grad():
        here, there = plain(params), named({key: renamed[key] for key in named.spec.axes})
    assert list(there) == ["head.b", "head.w", "body.b", "body.w"]
    assert all(torch.equal(there[names[key]], value) for key, value in here.items())


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_adds_its_changes_to_every_weight_and_bias(name):
    model = build(EVERY[name], rounds=3)
    params = double(model.spec, 2)
    with torch.no_grad():
        new, changes = model(params), model.delta(params)
        assert list(new) == list(model.spec.axes)
        assert all(torch.equal(new[key], params[key] + changes[key]) for key in new)
        assert all((change != 0).all() for change in changes.values())
        model.steps.weights.zero_()
        model.steps.biases.zero_()
        assert all(torch.equal(value, params[key]) for key, value in model(params).items())


@pytest.mark.parametrize("name", ["mnist_edit", "positive edit -B"])
def test_the_steps_of_an_operator_start_at_a_hundredth_and_act_on_their_layer(name):
    model = ws.nn.paper(EVERY[name], layout=(2, 5, 4, 3), width=8)
    assert model.steps.weights.tolist() == model.steps.biases.tolist() == pytest.approx([0.01] * 3)
    model = build(EVERY[name], rounds=3)
    params = double(model.spec, 2)
    with torch.no_grad():
        before = model.delta(params)
        model.steps.biases[1] *= 2
        model.steps.weights[2] *= 3
        after = model.delta(params)
    for key, factor in {"layers.1.bias": 2, "layers.2.weight": 3}.items():
        before[key] = factor * before[key]
    assert same(list(after.values()), list(before.values()))


@pytest.mark.parametrize("name", ["mnist_edit", "mnist_edit -B", "positive edit -B"])
def test_the_change_of_a_bias_lands_on_the_unit_that_differs(name):
    # All units of the first hidden layer are alike but one, so all changes are alike but that one's.
    model, odd = build(EVERY[name], rounds=4), 3
    params = {key: value.clone() for key, value in double(model.spec, 2).items()}
    params["layers.0.weight"][:] = params["layers.0.weight"][:, :1]
    params["layers.0.bias"][:] = params["layers.0.bias"][:, :1]
    params["layers.1.weight"][:] = params["layers.1.weight"][..., :1]
    params["layers.0.bias"][:, odd] += 1.0
    with torch.no_grad():
        changes = model.delta(params)
    for change in (changes["layers.0.bias"], changes["layers.0.weight"][..., 0], changes["layers.1.weight"][:, 0]):
        others = torch.cat([change[:, :odd], change[:, odd + 1 :]], 1)
        size = change.abs().max()
        assert (others - others[:, :1]).abs().max() <= 1e-11 * size
        assert (change[:, odd] - others[:, 0]).abs().min() > 1e-6 * size


def test_input_biases_and_lone_parameters_are_left_alone():
    spec = parse("in[2] fixed\nh0[3] sign\nout[2] fixed\n\nomega\nsteps\nshift in\na h0 in~\nb out h0~")
    params = double(spec, 2) | {"steps": torch.tensor([3, 4])}
    model = build("mnist_edit", layout=spec)
    with torch.no_grad():
        new = model(params)
    kept = {key for key in params if torch.equal(new[key], params[key])}
    assert kept == {"omega", "steps", "shift"}
    other = params | {"shift": params["shift"] + 1.0}
    with torch.no_grad():
        assert not torch.equal(model(other)["a"], new["a"])  # but they are read


def test_the_reciprocal_of_a_kernel_scales_inversely_and_is_zero_for_zero():
    kernel = torch.randn(2, 3, 4, 9, dtype=torch.float64)
    kernel[0, 0] = 0.0
    kernel.requires_grad_()
    found = reciprocal(kernel)
    assert torch.equal(found[0, 0], torch.zeros_like(found[0, 0]))
    torch.testing.assert_close((found * kernel).sum(-1)[1], torch.ones(3, 4, dtype=torch.float64))
    torch.testing.assert_close(reciprocal(4.0 * kernel), found / 4.0)
    found.sum().backward()
    assert kernel.grad.isfinite().all()
