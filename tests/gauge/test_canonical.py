"""Canonical forms: constant on the orbit, idempotent, the same function; the smallest where they say so."""

import copy
from itertools import pairwise

import pytest
import torch
from general_specs import SPECS, networks_of
from hypothesis import given, settings
from hypothesis import strategies as st
from specs import networks, seeds, specs
from torch import nn
from torch.func import functional_call

import weightspace as ws
from weightspace import ConfigError, SpecMismatch
from weightspace.gauge import (
    Element,
    act,
    canonicalize,
    fingerprints,
    identity,
    neuron_gauge,
    normal_form,
    same_function,
    sample,
)
from weightspace.spec import parse
from weightspace.tasks.improve.orbit_l1 import orbit_minimal_l1
from weightspace.testing import random_params

FORMS = ("norm", "balanced", "l1")
any_form = st.sampled_from(FORMS)
general = st.sampled_from(sorted(SPECS)).map(SPECS.__getitem__)
any_spec = specs() | general
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4}


def gap(a, b):
    """Largest difference of stacked parameters by network, relative to the largest entry of each parameter."""
    rows = [flat(a[n].double() - b[n]).abs().amax(-1) / a[n].double().abs().max().clamp_min(1e-9) for n in a]
    return torch.stack(rows).amax(0)


def flat(value):
    return value.reshape(len(value), -1)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@given(spec=any_spec, form=any_form, seed=seeds)
def test_is_constant_on_the_orbit_where_it_is_unique(dtype, spec, form, seed):
    params = networks_of(spec, 4, seed=seed, dtype=dtype)
    there = act(sample(spec, seed, num=4, max_scale=64.0), params, spec)
    (here, _, report), (moved, _, other) = canonicalize(params, spec, scale=form), canonicalize(there, spec, scale=form)
    sure = (report.unique & other.unique).expand(4)
    assert (gap(here, moved)[sure] < TOLERANCE[dtype]).all()


@settings(max_examples=6)
@given(spec=general, form=any_form, seed=seeds)
def test_is_unique_for_networks_without_zeros(spec, form, seed):
    params = networks_of(spec, 4, seed=seed)
    _, _, report = canonicalize(params, spec, scale=form)
    assert report.unique.all()
    assert str(report) == "unique"


@given(spec=any_spec, form=any_form, seed=seeds, permute=st.booleans())
def test_the_element_leads_there_to_the_bit(spec, form, seed, permute):
    params = networks_of(spec, 3, seed=seed, dtype=torch.float32)
    result, element, _ = canonicalize(params, spec, scale=form, permute=permute)
    again = act(element, params, spec)
    assert all(torch.equal(result[name], again[name]) and result[name].dtype == params[name].dtype for name in params)


@given(spec=any_spec, form=any_form, seed=seeds)
def test_is_idempotent(spec, form, seed):
    once, _, report = canonicalize(networks_of(spec, 3, seed=seed), spec, scale=form)
    twice, _, _ = canonicalize(once, spec, scale=form)
    assert (gap(once, twice)[report.unique.expand(3)] < 1e-11).all()


@given(case=networks(), form=any_form)
def test_keeps_the_function(case, form):
    params, _, _ = canonicalize(case.module.state_dict(), case.spec, scale=form)
    assert same_function(case.module, params, case.example) < 1e-10


@settings(max_examples=6)
@given(spec=any_spec, form=any_form, seed=seeds)
def test_a_single_network_has_the_form_it_has_in_a_stack(spec, form, seed):
    params = networks_of(spec, 2, seed=seed)
    stacked, element, report = canonicalize(params, spec, scale=form)
    single, alone, own = canonicalize({name: value[1] for name, value in params.items()}, spec, scale=form)
    assert (gap({n: v[None] for n, v in single.items()}, {n: v[1:] for n, v in stacked.items()}) < 1e-12).all()
    assert all(torch.equal(alone.perm[name], element.perm[name][1]) for name in alone.perm)
    assert bool(own.unique) == bool(report.unique.expand(2)[1])


@settings(max_examples=6)
@given(spec=general, form=any_form, seed=seeds)
def test_control_other_networks_and_elements_outside_the_gauge_have_other_forms(spec, form, seed):
    params = networks_of(spec, 2, seed=seed)
    here, _, _ = canonicalize(params, spec, scale=form)
    assert gap(here, {name: value.flip(0) for name, value in here.items()}).min() > 1e-3
    name = next(iter(params))
    other = params[name] * (1 + 1e-3 * torch.rand(params[name].shape))
    there, _, _ = canonicalize({**params, name: other}, spec, scale=form)
    assert gap(here, there).min() > 1e-6


@given(spec=specs(groups=("positive", "nonzero", "sign")), seed=seeds)
def test_norm_is_the_normal_form(spec, seed):
    params = random_params(spec, 3, seed=seed, dtype=torch.float64)
    params = {name: value.abs() for name, value in params.items()}  # no sign to choose
    result, _, report = canonicalize(params, spec, permute=False)
    expected, _ = normal_form(params, spec)
    alive = ~torch.stack([kind.any(-1) for kind in report.dead.values()]).any(0)
    assert (gap(expected, result)[alive] < 1e-12).all()


def is_bounded(spec):
    """Whether each scale both multiplies and divides, so that a smallest size exists."""
    parts = [part for axes in spec.axes.values() for axis in axes for part in axis.parts]
    powers = {space.name: [0] for space in spec.free if space.scale in ("positive", "nonzero")}
    for space, power in [(p.space, p.power) for p in parts] + [(q.space, q.power) for p in parts for q in p.scales]:
        powers.get(space, []).append(power)
    return all(min(found) < 0 < max(found) for found in powers.values())


bounded = st.sampled_from([spec for spec in SPECS.values() if is_bounded(spec)])


@pytest.mark.parametrize("form", ["balanced", "l1"])
@given(spec=specs(groups=("positive", "sign")) | bounded, seed=seeds)
def test_no_scale_makes_it_smaller(form, spec, seed):
    params = networks_of(spec, 3, seed=seed)
    result, _, report = canonicalize(params, spec, scale=form)
    assert not any(kind.any() for kind in report.dead.values())
    q = 2 if form == "balanced" else 1
    size = sum(flat(value.double().abs().pow(q)).sum(-1) for value in result.values())
    for step in (1e-4, 0.3):
        g = sample(spec, seed, num=3, max_scale=1 + step)
        moved = act(Element(identity(spec).expand(3).perm, {n: s.abs() for n, s in g.scale.items()}), result, spec)
        other = sum(flat(value.double().abs().pow(q)).sum(-1) for value in moved.values())
        assert (other >= size * (1 - 1e-9)).all()


@given(spec=specs(groups=("positive", "sign", "trivial")), seed=seeds)
def test_l1_is_the_orbit_minimal_l1(spec, seed):
    params = random_params(spec, 3, seed=seed, dtype=torch.float64)
    result, _, report = canonicalize(params, spec, scale="l1")
    alive = ~torch.stack([kind.any(-1) for kind in report.dead.values()]).any(0)
    own = sum(flat(value.abs()).sum(-1) for value in result.values())
    expected = orbit_minimal_l1(params, spec)
    assert torch.allclose(own[alive], expected[alive], rtol=1e-7)


def test_a_deep_network_is_balanced_to_rounding():
    names = ["in", *(f"h{i}" for i in range(12)), "out"]
    spaces = ["in[4] fixed", *(f"{name}[4] positive" for name in names[1:-1]), "out[4] fixed", ""]
    spec = parse("\n".join([*spaces, *(f"{b}.weight {b} {a}~" for a, b in pairwise(names))]))
    params = networks_of(spec, 2, seed=0)
    here, _, _ = canonicalize(params, spec, scale="balanced")
    there, _, _ = canonicalize(act(sample(spec, 1, num=2, max_scale=1e3), params, spec), spec, scale="balanced")
    assert gap(here, there).max() < 1e-9
    for space in names[1:-1]:
        fan_in = here[f"{space}.weight"].square().sum(-1)
        fan_out = here[f"{names[names.index(space) + 1]}.weight"].square().sum(-2)
        assert torch.allclose(fan_in, fan_out, rtol=1e-9)


MLP = parse("in[3] fixed\nh0[5] positive\nh1[4] sign\nout[2] fixed\n\na h0 in~\nab h0\nb h1 h0~\nc out h1~\n")


def with_dead_neurons(params, spec, generator):
    """The networks with zeros for the fan-in, the fan-out, or both of some neurons of every space."""
    params = {name: value.clone() for name, value in params.items()}
    for space in spec.free:
        chosen = torch.rand(space.size, generator=generator) < 0.3
        for side in (-1, 1):
            which = chosen & (torch.rand(space.size, generator=generator) < 0.6)
            for name, axes in spec.params:
                for dim, axis in enumerate(axes):
                    if axis.plain and axis.space == space.name and axis.power * side > 0:
                        rows = params[name].unflatten(dim + 1, (space.size, -1)).movedim(dim + 1, 0)
                        rows[which] = 0
    return params


@settings(max_examples=10)
@given(spec=specs() | general, form=any_form, seed=seeds)
def test_dead_neurons_have_one_form_on_the_orbit_and_one_fingerprint(spec, form, seed):
    generator = torch.Generator().manual_seed(seed)
    params = with_dead_neurons(networks_of(spec, 3, seed=seed), spec, generator)
    there = act(sample(spec, seed, num=3, max_scale=64.0), params, spec)
    (here, element, report), (moved, _, other) = (
        canonicalize(params, spec, scale=form),
        canonicalize(there, spec, scale=form),
    )
    assert not any(kind.any() for kind in report.scale_ties.values()), str(report)
    sure = (report.unique & other.unique).expand(3)
    assert (gap(here, moved)[sure] < 1e-8).all()
    assert all(scale.isfinite().all() and (1 / scale).isfinite().all() for scale in element.scale.values())
    assert (fingerprints(params, spec) - fingerprints(there, spec)).abs().max() < 1e-7


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("side", ["fan-in", "fan-out", "both"])
def test_dead_neurons_are_reported_and_take_their_scale_from_the_side_that_is_left(form, side):
    params = {name: value[0] for name, value in networks_of(MLP, 1, seed=0).items()}
    if side != "fan-out":
        params["a"][1], params["ab"][1] = 0, 0
    if side != "fan-in":
        params["b"][:, 1] = 0
    result, element, report = canonicalize(params, MLP, scale=form)
    (place,) = report.dead["h0"].nonzero().flatten().tolist()
    assert element.perm["h0"][place] == 1
    assert str(report) == "unique\nh0: 1 dead"
    rows = torch.cat([result["a"][place], result["ab"][place, None], result["b"][:, place]])
    assert (element.scale["h0"][place] == 1) == (side == "both")
    assert side == "both" or 0.1 < rows.norm() < 10
    assert not canonicalize(networks_of(MLP, 1, seed=0), MLP, scale=form)[2].dead["h0"].any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@given(low=st.integers(-45, -5), seed=seeds)
@settings(max_examples=6)
def test_neurons_that_decayed_to_nearly_nothing_keep_finite_scales_and_the_function(form, dtype, low, seed):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    spec = parse("in[4] fixed\nh[6] positive\nout[3] fixed\n\n0.weight h in~\n0.bias h\n2.weight out h~\n2.bias out\n")
    faint = 10.0 ** torch.randint(low, 1, (2, 6)).double()
    state = {name: value.double() for name, value in net.state_dict().items()}
    state["0.weight"] *= faint[0, :, None]
    state["0.bias"] *= faint[0]
    state["2.weight"] *= faint[1]
    params = {name: value.to(dtype) for name, value in state.items()}
    result, element, report = canonicalize(params, spec, scale=form)
    scale = element.scale["h"].to(dtype)
    assert all(value.isfinite().all() for value in (*result.values(), scale, 1 / scale))
    wide, moved = ({name: value.double() for name, value in net.items()} for net in (params, result))
    x, size = 3 * torch.randn(32, 4).double(), 0.0
    one, other = (functional_call(net.double(), net_params, x) for net_params in (wide, moved))
    size = float(one.abs().max())
    assert float((one - other).abs().max()) <= 40 * torch.finfo(dtype).eps * size
    assert bool(report.unique) or "of unknown scale" in str(report) or "tied" in str(report)


def test_weights_beyond_squares_have_a_form_and_what_does_not_fit_the_type_is_refused():
    params = {name: 1e200 * value for name, value in networks_of(MLP, 2, seed=0).items()}
    there = act(sample(MLP, 1, num=2), params, MLP)
    for form in ("balanced", "l1"):
        here, _, report = canonicalize(params, MLP, scale=form)
        moved, _, _ = canonicalize(there, MLP, scale=form)
        assert report.unique.all()
        assert gap(here, moved).max() < 1e-9
    assert (fingerprints(params, MLP) - fingerprints(there, MLP)).abs().max() < 1e-7
    with pytest.raises(SpecMismatch, match=r"'b' in canonical form is beyond the range of torch.float64"):
        canonicalize(params, MLP, scale="norm")


def test_equal_neurons_and_symmetric_signs_are_ties():
    params = {name: value[0] for name, value in networks_of(MLP, 1, seed=0).items()}
    for name, dim in (("a", 0), ("ab", 0), ("b", 1)):
        params[name].select(dim, 3).copy_(params[name].select(dim, 0))
    _, element, report = canonicalize(params, MLP)
    places = report.order_ties["h0"].nonzero().flatten()
    assert sorted(element.perm["h0"][places].tolist()) == [0, 3]
    params["b"][2] = torch.eye(5)[0] - torch.eye(5)[3]
    _, element, report = canonicalize(params, MLP)
    assert element.perm["h1"][report.sign_ties["h1"]].tolist() == [2]
    assert "1 of unknown sign" in str(report)


@given(seed=seeds)
def test_sorting_is_stable_under_small_noise(seed):
    params = networks_of(MLP, 8, seed=seed)
    noisy = {name: value + 1e-9 * torch.randn(value.shape).double() for name, value in params.items()}
    here, there = canonicalize(params, MLP)[0], canonicalize(noisy, MLP)[0]
    assert (gap(here, there) < 1e-6).all()


def test_without_permutation_neurons_stay():
    params = networks_of(MLP, 2, seed=0)
    result, element, _ = canonicalize(params, MLP, permute=False)
    assert (element.perm["h0"] == torch.arange(5)).all()
    assert torch.allclose(neuron_gauge(result, MLP)["h0"], torch.ones(2, 5).double())


def test_batch_norm_keeps_its_function_through_running_statistics():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 3)).double()
    net(torch.randn(8, 3, 9, 9).double())
    spec = parse(
        "in[3] fixed\nh0[5] nonzero\nh1[5] like h0 positive\nout[2] fixed\n\n0.weight h0 in~ .3 .3\n0.bias h0\n"
        "1.weight h1&h0^sign\n1.bias h1\n1.running_mean h0\n1.running_var h0^2@1e-05\n1.num_batches_tracked\n"
        "3.weight out h1~ .3 .3\n3.bias out\n"
    )
    for form in FORMS:
        params, _, _ = canonicalize(copy.deepcopy(net).state_dict(), spec, scale=form)
        assert same_function(net.eval(), params, torch.randn(4, 3, 9, 9).double()) < 1e-10


def test_a_network_without_a_gauge_is_its_own_form():
    spec = parse("in[3] fixed\nout[2] fixed\n\na out in~\n")
    params = {"a": torch.randn(2, 3)}
    result, _, report = canonicalize(params, spec)
    assert torch.equal(result["a"], params["a"])
    assert bool(report.unique)


def test_bad_input_is_refused_in_words():
    params = networks_of(MLP, 2, seed=0)
    with pytest.raises(ConfigError, match="scale='norm'"):
        canonicalize(params, MLP, scale="l2")
    with pytest.raises(SpecMismatch, match="'ab' is missing"):
        canonicalize({"a": params["a"]}, MLP)


@pytest.mark.parametrize("form", FORMS)
def test_scales_that_undo_each_other_settle_what_they_do_together(form):
    spec = parse("in[3] fixed\nh0[5] positive\nh1[1] positive\nout[2] fixed\n\na h0&h1 in~\nb h0^0\nc out h0^0\n")
    params = networks_of(spec, 3, seed=0)
    here, _, _ = canonicalize(params, spec, scale=form)
    there, _, _ = canonicalize(act(sample(spec, 1, num=3), params, spec), spec, scale=form)
    assert gap(here, there).max() < 1e-9


def drawn(net: nn.Module) -> dict[str, torch.Tensor]:
    """Weights as they start; biases, gains and statistics of a size that training leads to."""
    state = net.state_dict()
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.5)
        elif name.endswith("running_var"):
            value.normal_(0, 0.5).exp_()
        elif name.endswith("bias"):
            value.normal_(0, 0.1)
        elif value.ndim == 1:
            value.normal_(1, 0.3).abs_()
    return state


@pytest.mark.parametrize("seed", range(3))
def test_two_entries_that_balance_makes_equal_in_size_decide_a_sign_that_rounding_does_not(seed: int) -> None:
    # Two normalizations with nothing but weights between them: the bias of one and the mean of the next say it all.
    before = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Hardswish(), nn.Conv2d(8, 8, 1, bias=False)
    )
    after = nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 36, 1, bias=False), nn.BatchNorm2d(36), nn.ReLU())
    net = nn.Sequential(*before, *after, nn.Flatten(), nn.Linear(36 * 16, 3)).eval()
    spec = ws.derive(net, torch.zeros(2, 3, 6, 6), verify=False)
    torch.manual_seed(seed)
    params = {name: value.double() if value.is_floating_point() else value for name, value in drawn(net).items()}
    forms = []
    for place in range(2):
        moved = ws.act(ws.sample(spec, place, max_scale=4.0), params, spec)
        copy = {name: value.float() if value.is_floating_point() else value for name, value in moved.items()}
        form, _, report = canonicalize(copy, spec)
        assert not any(bool(tied.any()) for tied in report.sign_ties.values())
        forms.append(form)
    for name, value in forms[0].items():
        if value.is_floating_point():
            torch.testing.assert_close(forms[1][name], value, rtol=1e-4, atol=1e-4 * float(value.abs().max()))
