"""Forward and backward passes in one round, awkward networks, devices, whole numbers, options."""

import pytest
import torch
from matrix_nets import BOTH, bounded, build
from metanets import USUAL, awkward, double, gauges, mlp, pulled_back_error
from torch import nn

import weightspace as ws
from weightspace import ConfigError, SpecError, SpecMismatch
from weightspace.gauge import act, stack
from weightspace.nn import AbstractFamily, Architecture, MatrixFamily, MatrixOperator
from weightspace.nn.matrix._messages import Messages
from weightspace.nn.matrix._nodes import Nodes
from weightspace.nn.matrix._reading import Reader
from weightspace.spec import parse
from weightspace.testing import random_params
from weightspace.view import Field, MatrixView

usual_specs = pytest.mark.parametrize("spec", USUAL.values(), ids=USUAL)


def test_forward_and_backward_pass_come_out_of_one_round():
    """Every layer by hand: pre-activations of p inputs ahead, deltas of their outputs back, with gains of 1."""
    spec, num, p = mlp("sign"), 3, 5
    params = double(spec, num)
    view = MatrixView(spec)
    nodes = Nodes(view)
    messages = Messages(view, nodes, p, "bidirectional", even=False).double()
    nn.init.ones_(messages.gains)
    reading = Reader(view, nodes, False, False)(params, torch.float64)
    order = [Field("in"), Field("h0", ("h0",)), Field("h1", ("h1",)), Field("out")]
    place = {block.name: k for k, block in enumerate(view.blocks)}

    def send(states: dict[Field, torch.Tensor]) -> tuple[dict[Field, torch.Tensor], dict[Field, torch.Tensor]]:
        x = torch.cat([states.get(f, torch.zeros(num, nodes.rows[f][1], p).double()) for f in nodes.fields], 1)
        ahead, back = messages(x, reading).split(p, -1)
        return nodes.split(ahead), nodes.split(back)

    h = [torch.randn(num, 4, p, dtype=torch.float64)]
    pre = []
    for layer in range(3):
        ahead, _ = send({order[layer]: h[-1]})
        unit = reading.unit[:, place[f"layers.{layer}.weight"]].view(-1, 1, 1)
        got = ahead[order[layer + 1]] * unit / messages.scale[order[layer + 1]][0]
        pre.append(got + params[f"layers.{layer}.bias"].unsqueeze(-1))
        want = params[f"layers.{layer}.weight"] @ h[-1] + params[f"layers.{layer}.bias"].unsqueeze(-1)
        torch.testing.assert_close(pre[-1], want, rtol=0, atol=1e-12)
        h.append(pre[-1].tanh())
    leaves = [one.detach().requires_grad_() for one in h[:1]]
    y = leaves[0]
    hidden = []
    for layer in range(3):
        z = params[f"layers.{layer}.weight"] @ y + params[f"layers.{layer}.bias"].unsqueeze(-1)
        hidden.append(z)
        y = z.tanh() if layer < 2 else z
    wants = torch.autograd.grad(y.square().sum() / 2, hidden)
    delta = pre[-1]
    for layer in (2, 1):
        _, back = send({order[layer + 1]: delta})
        unit = reading.unit[:, place[f"layers.{layer}.weight"]].view(-1, 1, 1)
        delta = back[order[layer]] * unit / messages.scale[order[layer]][1] * (1 - h[layer].square())
        torch.testing.assert_close(delta, wants[layer - 1], rtol=0, atol=1e-12)


@usual_specs
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_awkward_networks_stay_finite(spec, dtype):
    params = awkward(spec, dtype)
    functional, operator = (build(model, spec, dtype=dtype, rounds=2) for model in BOTH)
    out, changes = functional(params), operator.delta(params)
    assert out.isfinite().all()
    assert all(value.isfinite().all() for value in changes.values())
    (out.square().sum() + bounded(changes)).backward()
    for model in (functional, operator):
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@usual_specs
def test_laws_hold_on_awkward_networks_one_by_one(spec):
    params = awkward(spec, torch.float64)
    element = gauges(spec, len(next(iter(params.values()))))
    functional, operator = (build(model, spec, rounds=2) for model in BOTH)
    assert isinstance(operator, MatrixOperator)
    assert pulled_back_error(operator, spec, params, element).max() <= 1e-9  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        here, there = functional(params), functional(act(element, params, spec))
    assert ((there - here).abs() <= 1e-9 * (here - here.roll(1, 0)).abs().max()).all()


class Normed(nn.Module):
    """A residual network with batch normalization: spaces like others, variances, counters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(4, 6), nn.BatchNorm1d(6)
        self.second, self.out = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x)))
        return self.out(x + torch.relu(self.second(x)))


def normed(num: int, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, ws.SymmetrySpec, dict[str, torch.Tensor]]:
    net = Normed().to(dtype).eval()
    spec = ws.derive(net, torch.randn(2, 4, dtype=dtype))
    rows = []
    for seed in range(num):
        row = {name: value[0] for name, value in random_params(spec, 1, seed=seed, dtype=dtype).items()}
        rows.append(row | {"norm.num_batches_tracked": torch.tensor(3 + seed)})
    return net, spec, stack(rows)


def test_whole_numbers_are_left_alone_and_variances_stay_variances():
    _, spec, params = normed(3)
    operator = build(MatrixOperator, spec)
    new = operator(params)
    assert torch.equal(new["norm.num_batches_tracked"], params["norm.num_batches_tracked"])
    assert new["norm.num_batches_tracked"].dtype == torch.long
    assert (new["norm.running_var"] > 0).all()
    others = [name for name in params if params[name].is_floating_point()]
    assert all((new[name] != params[name]).any() for name in others)


def test_dead_and_nearly_dead_neurons_of_rich_specs_are_changed_within_bounds():
    _, spec, params = normed(4)
    for factor, row in ((0.0, 1), (1e-30, 2), (1e30, 3)):
        params["second.weight"][row, 0] *= factor
        params["second.bias"][row, 0] *= factor
        params["out.weight"][row, :, 1] *= factor
    functional, operator = (build(model, spec, rounds=2) for model in BOTH)
    changes = operator.delta(params)
    floats = {name: value for name, value in changes.items() if value.is_floating_point()}
    assert all(value.isfinite().all() for value in floats.values())
    assert all((value[1:3].abs() < 1e3).all() for value in floats.values())
    (functional(params).square().sum() + bounded(floats)).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for m in (functional, operator) for p in m.parameters())


@pytest.mark.parametrize("rich", [False, True])
def test_models_run_on_the_meta_device_and_in_bfloat16(rich):
    spec = normed(1)[1] if rich else USUAL["cnn-positive"]
    params = random_params(spec, 3)
    functional, operator = (build(model, spec, dtype=torch.float32) for model in BOTH)
    with torch.autocast("cpu", torch.bfloat16):
        assert functional(params).isfinite().all()
        assert all(value.isfinite().all() for value in operator.delta(params).values())
    functional, operator = functional.to("meta"), operator.to("meta")
    held = [*functional.parameters(), *functional.buffers(), *operator.parameters(), *operator.buffers()]
    params = {name: value.to("meta") for name, value in params.items()}
    assert all(value.is_meta for value in (*held, functional(params), *operator.delta(params).values()))


def test_recomputed_rounds_give_the_same_gradients():
    read, params = Architecture(mlp("sign")), double(mlp("sign"), 3)
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        model = MatrixFamily(width=8, rounds=2, recompute=recompute).functional(read, 2).double()
        model(params).square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_the_family_is_data_and_asks_for_a_module_where_it_has_probes():
    family = MatrixFamily.model_validate({"kind": "matrix", "width": 8})
    assert isinstance(family, AbstractFamily)
    assert not family.needs_module
    assert family.model_copy(update={"probes": 4}).needs_module


def test_what_cannot_be_read_is_refused_by_name():
    with pytest.raises(SpecError, match="no weight between two neuron spaces"):
        MatrixFamily().functional(Architecture(parse("h[3]\n\nbias h\n")), 1)
    text = "in[4] fixed\ng[2]\nh[4] within g\nout[2] fixed\n\na.weight h{0,1,2} in~\nb.weight out h~\n"
    with pytest.raises(SpecError, match=r"'a\.weight' lists neurons of 'h' unequally"):
        MatrixFamily().operator(Architecture(parse(text)))
    with pytest.raises(SpecMismatch, match="Stack it"):
        build(MatrixOperator, mlp("sign"))({name: value[0] for name, value in double(mlp("sign"), 1).items()})
    with pytest.raises(ConfigError, match="reads nothing"):
        MatrixFamily(weights=False).functional(Architecture(mlp("sign")), 1)
    with pytest.raises(ConfigError, match="an operator changes the weights"):
        MatrixFamily(weights=False, probes=3).operator(Architecture(mlp("sign")))
