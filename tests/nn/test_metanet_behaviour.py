"""What a user relies on: networks do not interact, seeds reproduce, changes land on the right units."""

import pytest
import torch
from hypothesis import given
from metanets import BOTH, USUAL, Params, build, choices, double, mlp, row
from specs import seeds, specs

from weightspace import SpecMismatch
from weightspace.nn import EquivariantOperator, InvariantFunctional
from weightspace.spec import parse

both = pytest.mark.parametrize("model", BOTH)
usual_specs = pytest.mark.parametrize("spec", USUAL.values(), ids=USUAL)


@given(spec=specs(), choice=choices, seed=seeds)
def test_networks_of_a_stack_do_not_interact(spec, choice, seed):
    functional, operator = (build(model, spec, choice, seed=seed) for model in BOTH)
    params = double(spec, 3, seed)
    others = {name: 100.0 * value for name, value in double(spec, 3, seed + 1).items()}
    mixed = {name: torch.cat([params[name][1:2], others[name]]) for name in params}
    with torch.no_grad():
        alone, among, elsewhere = (functional(stack) for stack in (row(params, 1), params, mixed))
        close(among[1:2], alone)
        close(elsewhere[:1], alone)
        alone, among, elsewhere = (operator.delta(stack) for stack in (row(params, 1), params, mixed))
        for name in spec.axes:
            close(among[name][1:2], alone[name])
            close(elsewhere[name][:1], alone[name])


@both
@usual_specs
def test_the_same_seed_gives_the_same_model_and_the_same_output(model, spec):
    params = double(spec, 2)
    here, there, other = (outputs(build(model, spec, seed=seed), params) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(here, other, strict=True))


@both
@usual_specs
def test_a_saved_model_loads_to_the_same_output(model, spec):
    trained, fresh = build(model, spec, seed=0), build(model, spec, seed=1)
    fresh.load_state_dict(trained.state_dict())
    params = double(spec, 2)
    assert all(torch.equal(a, b) for a, b in zip(outputs(trained, params), outputs(fresh, params), strict=True))


@usual_specs
def test_an_operator_with_steps_of_zero_is_the_identity(spec):
    operator = build(EquivariantOperator, spec)
    with torch.no_grad():
        operator.readout.edge_steps.zero_()
        operator.readout.node_steps.zero_()
    params = double(spec, 2)
    new = operator(params)
    assert list(new) == list(spec.axes)
    assert all(torch.equal(new[name], params[name]) for name in params)


@usual_specs
def test_an_operator_changes_every_weight_and_bias_and_nothing_else(spec):
    params = double(spec, 2)
    new, changes = (build(EquivariantOperator, spec)(params), build(EquivariantOperator, spec).delta(params))
    for name, value in params.items():
        assert new[name].shape == value.shape
        assert torch.equal(new[name], value + changes[name])
        assert (changes[name] != 0).all() or name == "omega"
    assert torch.equal(new.get("omega", torch.zeros(0)), params.get("omega", torch.zeros(0)))


@given(choice=choices, seed=seeds)
def test_the_change_of_a_bias_lands_on_the_unit_that_differs(choice, seed):
    # All hidden units are alike but one, so all changes are alike but that one's.
    spec, odd = mlp("trivial"), seed % 6
    params = {name: value.clone() for name, value in double(spec, 2, seed).items()}
    params["layers.0.weight"][:] = params["layers.0.weight"][:, :1]
    params["layers.0.bias"][:] = params["layers.0.bias"][:, :1]
    params["layers.1.weight"][:] = params["layers.1.weight"][..., :1]
    params["layers.0.bias"][:, odd] += 1.0
    changes = build(EquivariantOperator, spec, choice, seed=seed).delta(params)
    for change in (changes["layers.0.bias"], changes["layers.0.weight"][..., 0], changes["layers.1.weight"][:, 0]):
        others = torch.cat([change[:, :odd], change[:, odd + 1 :]], 1)
        assert (others - others[:, :1]).abs().max() <= 1e-13
        assert (change[:, odd] - others[:, 0]).abs().min() > 1e-8


@given(choice=choices, seed=seeds)
def test_units_without_weights_and_biases_stay_so_where_signs_act(choice, seed):
    # Flipping such a unit changes nothing, so its change equals its own negative.
    spec, alive = mlp("sign"), seed % 6
    params = {name: value.clone() for name, value in double(spec, 2, seed).items()}
    for value in (params["layers.0.weight"], params["layers.0.bias"], params["layers.1.weight"].transpose(1, 2)):
        value[:, [unit for unit in range(6) if unit != alive]] = 0.0
    changes = build(EquivariantOperator, spec, choice, seed=seed).delta(params)
    assert changes["layers.0.bias"][0].nonzero().tolist() == [[alive]]


def test_output_biases_are_changed_unit_by_unit():
    # Output units have names: a change follows the unit, not the position of another space.
    spec = parse("in[3] fixed\nh0[4] sign\nout[2] fixed\n\na h0 in~\nb out h0~\nbias out")
    params = double(spec, 1)
    operator = build(EquivariantOperator, spec)
    with torch.no_grad():
        for name, head in operator.readout.node_heads.items():
            assert name == "@out"
            head.weight.fill_(1.0)
        state, _ = operator.backbone(params)
        want = operator.readout.norm(state.nodes["out"], state.gauge["out"]).sum(-1)
        step = operator.readout.node_steps[0] * state.unit["out"]
    close(operator.delta(params)["bias"], want * step.unsqueeze(-1))


@both
def test_networks_of_another_architecture_are_refused_by_name(model):
    with pytest.raises(SpecMismatch, match=r"'layers.0.weight' has shape \[2, 6, 5\]"):
        build(model, mlp("sign"))(double(mlp("sign"), 2) | {"layers.0.weight": torch.zeros(2, 6, 5).double()})
    with pytest.raises(SpecMismatch, match="of one network"):
        build(model, mlp("sign"))({name: value[0] for name, value in double(mlp("sign"), 2).items()})


def test_a_counter_among_the_parameters_is_passed_through():
    spec = parse("in[2] fixed\nh0[3] positive\nout[2] fixed\n\nsteps\na h0 in~\nb out h0~")
    params = double(spec, 2) | {"steps": torch.tensor([3, 4])}
    assert build(EquivariantOperator, spec)(params)["steps"].tolist() == [3, 4]
    assert build(InvariantFunctional, spec)(params).dtype == torch.float64


def outputs(model: torch.nn.Module, params: Params) -> list[torch.Tensor]:
    with torch.no_grad():
        out = model(params)
    return [out] if isinstance(out, torch.Tensor) else list(out.values())


def close(have: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(have, want, rtol=0.0, atol=1e-12 * float(want.detach().abs().max()))
