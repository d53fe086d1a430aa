"""Orbit copies: the same function without noise, the kind that was asked for, and what is refused."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from specs import Case, networks, seeds

import weightspace as ws
from weightspace.spec import parse
from weightspace.tasks import perturb

SPEC = parse("in[3] fixed\nh0[5] sign\nh1[4] nonzero\nout[2] fixed\n\na h0 in~\nb h0\nc h1 h0~\nd out h1~")
NORM = parse("in[2] fixed\nh0[4] positive\nout[2] fixed\n\na h0 in~\nnorm.running_var h0^2\nd out h0~")


def network(spec: ws.SymmetrySpec, num: int | None = None) -> dict[str, torch.Tensor]:
    stacked = ws.testing.random_params(spec, num or 1, seed=0)
    return stacked if num else {name: value[0] for name, value in stacked.items()}


@given(networks(), st.sampled_from(["permutations", "signs", "scales", "all"]), st.integers(1, 3), seeds)
def test_copies_without_noise_compute_the_same_function(case: Case, kind: str, num: int, seed: int) -> None:
    params = dict(case.module.state_dict())
    try:
        copies, elements = perturb(params, case.spec, kind, num=num, seed=seed)
    except ws.ConfigError:
        assume(False)
    for place in range(num):
        copy = {name: value[place] for name, value in copies.items()}
        assert ws.same_function(case.module, copy, case.example) <= 1e-10
    again = ws.act(ws.inverse(elements), copies, case.spec)
    assert all(torch.allclose(again[name][place], params[name]) for name in params for place in range(num))


def test_each_kind_moves_only_its_own():
    orders = torch.arange(5), torch.arange(4)
    for kind in ("permutations", "signs", "scales", "all"):
        _, found = perturb(network(SPEC), SPEC, kind, num=40)
        moved = any(bool((found.perm[name] != order).any()) for name, order in zip(("h0", "h1"), orders, strict=True))
        assert moved == (kind in ("permutations", "all"))
        assert bool((found.scale["h1"] < 0).any()) == bool((found.scale["h0"] < 0).any()) == (kind in ("signs", "all"))
        assert bool((found.scale["h1"].abs() != 1).any()) == (kind in ("scales", "all"))
        assert bool((found.scale["h0"].abs() == 1).all())


def test_scales_are_log_normal_or_log_uniform_in_a_range():
    _, found = perturb(network(SPEC), SPEC, "scales", num=2000)
    assert float(found.scale["h1"].log().std()) == pytest.approx(0.5, rel=0.05)
    _, wide = perturb(network(SPEC), SPEC, "scales", num=2000, max_scale=100.0)
    logs = wide.scale["h1"].log10().abs()
    assert 1.9 < float(logs.max()) <= 2
    assert float(logs.mean()) == pytest.approx(1, rel=0.05)


def test_noise_has_its_standard_deviation_and_leaves_the_elements_and_variances():
    params = network(NORM)
    copies, elements = perturb(params, NORM, num=500, seed=3)
    noisy, same = perturb(params, NORM, num=500, seed=3, sigma=0.1)
    assert all(torch.equal(elements.scale[name], value) for name, value in same.scale.items())
    for name in ("a", "d"):
        assert float((noisy[name] - copies[name]).std()) == pytest.approx(0.1, rel=0.1)
    assert torch.equal(noisy["norm.running_var"], copies["norm.running_var"])
    assert not any(torch.equal(noisy["a"][0], noisy["a"][k]) for k in range(1, 500))


def test_stacked_networks_are_copied_one_after_the_other():
    params = network(SPEC, 3)
    copies, elements = perturb(params, SPEC, num=2)
    repeated = {name: value.repeat_interleave(2, 0) for name, value in params.items()}
    moved = ws.act(elements, repeated, SPEC)
    assert all(torch.equal(copies[name], value) for name, value in moved.items())
    assert not torch.equal(elements.perm["h0"][0], elements.perm["h0"][1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "rotations"}, "no copies by 'rotations'; choose one of: permutations"),
        ({"kind": "signs"}, "have no signs: they have permutations and scales. Choose permutations or all"),
        ({"num": 0}, "0 copies"),
        ({"sigma": -1.0}, "sigma is -1"),
        ({"sigma": float("nan")}, "sigma is nan"),
        ({"scale_std": -1.0}, "scale_std is -1"),
        ({"max_scale": 0.5}, "max_scale is 0.5"),
    ],
)
def test_what_cannot_be_drawn_is_refused(settings, said):
    with pytest.raises(ws.ConfigError, match=said):
        perturb(network(NORM), NORM, **settings)


def test_a_network_without_hidden_neurons_has_no_copies():
    rigid = parse("in[2] fixed\nout[1] fixed\n\na out in~")
    with pytest.raises(ws.ConfigError, match="nothing can be moved"):
        perturb(network(rigid), rigid)
