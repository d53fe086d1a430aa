"""Alignment: planted elements are found exactly, each step is the best there is, and the function stays."""

from itertools import permutations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import weightspace as ws
from tests.architectures import ARCHITECTURES
from tests.architectures.oracle import random_state
from weightspace.alignment import align
from weightspace.gauge import stack
from weightspace.gauge.match import (
    best_scale,
    best_start,
    descend,
    distance,
    families,
    match_family,
    pair_costs,
    problem,
    products,
    starts,
)

from . import chain, draw

GROUPS = st.sampled_from(["trivial", "sign", "positive", "nonzero"])
LAYOUTS = st.tuples(
    st.integers(1, 5), st.lists(st.tuples(st.integers(1, 9), GROUPS), min_size=1, max_size=3), st.integers(1, 4)
)


@given(LAYOUTS, st.integers(0, 10_000), st.sampled_from([torch.float64, torch.float32]))
def test_a_planted_element_is_undone_whatever_the_layers_and_groups(layout, seed: int, dtype: torch.dtype) -> None:
    spec = chain(*layout)
    params = draw(spec, seed, dtype)
    element = ws.sample(spec, seed, max_scale=100.0)
    found = align(params, ws.act(element, params, spec), spec)
    # Neurons that are rounding-close copies may be exchanged: the numbers decide, not the element.
    tolerance = 1e-10 if dtype == torch.float64 else 1e-3
    for name, value in params.items():
        assert float((found.params[name] - value).norm()) <= tolerance * float(value.norm())


@pytest.mark.parametrize(
    "name", ["resnet_bottleneck", "gpt_tied", "transformer_encoder_pre", "shufflenet", "densenet_block"]
)
def test_planted_elements_of_real_architectures_are_undone(name: str) -> None:
    entry = ARCHITECTURES[name]
    net = entry.factory()
    spec = ws.spec.derive(net, entry.example())
    net.load_state_dict(random_state(net, 1))
    params = {key: value.detach().clone() for key, value in net.state_dict().items()}
    before = {key: value.clone() for key, value in params.items()}
    found = align(params, ws.act(ws.sample(spec, 3), params, spec), spec, module=net, example=entry.example())
    assert float(found.distance) <= 1e-9
    assert found.output_difference is not None
    assert found.output_difference <= 1e-9
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_permutations_alone_do_not_undo_signs() -> None:
    """Negative control: without the signs in the group the planted network is not found."""
    spec, weaker = chain(4, [(8, "sign")], 2), chain(4, [(8, "trivial")], 2)
    params = draw(spec, 0)
    moved = ws.act(ws.sample(spec, 1), params, spec)
    assert float(align(params, moved, spec).distance) <= 1e-12
    assert float(align(params, moved, weaker).distance) > 0.1


@given(st.integers(1, 4), st.sampled_from(["trivial", "sign"]), st.integers(0, 1000))
def test_the_step_for_order_and_signs_is_the_best_of_all(size: int, group: str, seed: int) -> None:
    spec = chain(3, [(size, group)], 2)
    left, right = (stack([draw(spec, seed + k)]) for k in (0, 1000))
    task = problem(left, right, spec)
    step = match_family(left, right, spec, task.families[0])
    reached = float(distance(left, ws.act(step, right, spec), task.weighed))
    signs = [1.0, -1.0] if group == "sign" else [1.0]
    best = min(
        float(
            distance(
                left,
                ws.act(ws.Element({"h0": torch.tensor([p])}, {"h0": torch.tensor([s]).double()}), right, spec),
                task.weighed,
            )
        )
        for p in permutations(range(size))
        for s in product(signs, repeat=size)
    )
    assert reached == pytest.approx(best, rel=1e-12)


@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_the_best_scale_is_the_best_on_a_fine_grid(seed: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = [(torch.randn(200, generator=generator, dtype=torch.float64) * spread).exp() for _ in range(3)]
    angle = [2 * torch.rand(200, generator=generator, dtype=torch.float64) - 1 for _ in range(2)]
    big, small, other = size
    into, out_of = angle[0] * (big * other).sqrt(), angle[1] * (small / other).sqrt()
    scale, value = best_scale(big, into, out_of, small)
    grid = torch.linspace(-40, 40, 4001, dtype=torch.float64).exp()[:, None]
    every = grid**2 * big - 2 * grid * into + small / grid**2 - 2 * out_of / grid
    assert bool((scale > 0).all())
    assert bool((value <= every.amin(0) + 1e-9 * (big * small).sqrt()).all())
    direct = scale**2 * big - 2 * scale * into + small / scale**2 - 2 * out_of / scale
    assert torch.allclose(direct, value, rtol=1e-9, atol=1e-9)


@settings(max_examples=6)
@given(LAYOUTS, st.integers(0, 1000))
def test_no_descent_ends_farther_than_it_started_and_the_best_end_is_kept(layout, seed: int) -> None:
    spec = chain(*layout)
    left, right = stack([draw(spec, seed)]), stack([draw(spec, seed + 1)])
    task = problem(left, right, spec)
    ends = []
    for _, start, _ in starts(task, 2, seed):
        element, end = descend(task, start)
        assert float(end) <= float(distance(left, ws.act(start, right, spec), task.weighed)) * (1 + 1e-12)
        assert float(distance(left, ws.act(element, right, spec), task.weighed)) == pytest.approx(float(end), rel=1e-9)
        ends.append(float(end))
    best, far, _ = best_start(task, 2, seed)
    assert float(far) <= min(ends) * (1 + 1e-9)
    assert float(distance(left, ws.act(best, right, spec), task.weighed)) == pytest.approx(float(far), rel=1e-9)


@settings(max_examples=6)
@given(LAYOUTS, st.integers(0, 1000))
def test_neither_gauge_changes_the_distance(layout, seed: int) -> None:
    spec = chain(*layout)
    a, b = draw(spec, seed), draw(spec, seed + 1)
    here = align(a, b, spec, restarts=1)
    element = ws.sample(spec, seed, max_scale=8.0)
    # The order of the neurons of `a` changes which optimum random starts and ties lead to; scales do not.
    still = ws.Element(ws.identity(spec).perm, {k: v.abs() for k, v in element.scale.items()})
    there = align(ws.act(still, a, spec), ws.act(still, b, spec), spec, restarts=1)
    assert float(there.distance) == pytest.approx(float(here.distance), rel=1e-6, abs=1e-9)


@settings(max_examples=6)
@given(LAYOUTS, st.integers(0, 1000))
def test_a_stack_of_pairs_is_matched_pair_by_pair(layout, seed: int) -> None:
    spec = chain(*layout)
    first = [draw(spec, seed + k) for k in range(3)]
    second = [draw(spec, seed + 10 + k) for k in range(3)]
    many = align(stack(first), stack(second), spec)
    for k in range(3):
        one = align(first[k], second[k], spec)
        assert float(many.distance[k]) == pytest.approx(float(one.distance), rel=1e-6)
        for name, value in one.params.items():
            assert torch.allclose(many.params[name][k], value, rtol=1e-3, atol=1e-5)


def test_a_network_is_aligned_to_itself_by_the_identity() -> None:
    spec = chain(3, [(7, "sign"), (6, "positive")], 2)
    params = draw(spec, 0)
    found = align(params, params, spec)
    one = ws.identity(spec)
    assert all(torch.equal(found.element.perm[k], one.perm[k]) for k in one.perm)
    assert all(torch.allclose(found.element.scale[k], one.scale[k]) for k in one.scale)
    assert float(found.distance) <= 1e-12


@pytest.mark.parametrize("group", ["trivial", "sign", "positive", "nonzero"])
def test_dead_and_equal_neurons_are_neither_lost_nor_an_end_without_end(group: str) -> None:
    net = nn.Sequential(nn.Linear(3, 6), nn.Tanh() if group == "sign" else nn.ReLU(), nn.Linear(6, 2)).double()
    spec = chain(3, [(6, group)], 2)
    a, b = draw(spec, 0), draw(spec, 1)
    for params in (a, b):
        params["0.weight"][:2] = 0
        params["0.bias"][:2] = 0
        params["2.weight"][:, 1] = 0
        params["0.weight"][4] = params["0.weight"][3]
        params["0.bias"][4] = params["0.bias"][3]
        params["2.weight"][:, 4] = params["2.weight"][:, 3]
    found = align(a, b, spec)
    assert all(bool(value.isfinite().all()) for value in found.params.values())
    assert all(bool((value != 0).all()) for value in found.element.scale.values())
    if group in ("sign", "positive"):
        assert ws.same_function(_loaded(net, b), found.params) <= 1e-12


def test_a_spec_that_does_not_hold_fails_the_certificate() -> None:
    """Negative control: signs are no symmetry of ReLU."""
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).double()
    spec = chain(3, [(8, "sign")], 2)
    b = draw(spec, 1)
    a = ws.act(ws.sample(spec, 5), b, spec)
    with pytest.raises(ws.SpecMismatch, match=r"outputs differ .* Derive it: ws\.derive"):
        align(a, b, spec, module=net)


def test_bad_input_is_named() -> None:
    spec = chain(3, [(4, "sign")], 2)
    a = draw(spec, 0)
    with pytest.raises(ws.SpecMismatch, match="not finite"):
        align(a, {**a, "0.bias": a["0.bias"] * float("nan")}, spec)
    with pytest.raises(ws.SpecMismatch, match="Stack as many"):
        align(a, stack([a, a]), spec)
    with pytest.raises(ws.SpecMismatch, match="missing"):
        align(a, {k: v for k, v in a.items() if k != "0.bias"}, spec)
    with pytest.raises(ws.SpecMismatch, match="not parameters of the Linear given"):
        align(a, a, spec, module=nn.Linear(3, 4))
    with pytest.raises(ws.ConfigError, match="restarts"):
        align(a, a, spec, restarts=-1)


def test_the_certificate_is_measured_in_the_modules_own_number_type() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    spec = ws.derive(net, torch.zeros(1, 3))
    a = {name: value.half() for name, value in net.state_dict().items()}
    found = align(a, ws.act(ws.sample(spec, 1), a, spec), spec, module=net)
    assert found.output_difference is not None
    assert found.output_difference < 1e-3
    assert all(value.dtype == torch.float16 for value in found.params.values())


@given(LAYOUTS, st.integers(0, 100))
def test_the_products_of_neurons_are_those_of_dense_matrices(layout, seed: int) -> None:
    """Slow twin: the gain of a pair written as a trace with explicit monomial matrices."""
    spec = chain(*layout)
    left, right = stack([draw(spec, seed)]), stack([draw(spec, seed + 1)])
    for place, family in enumerate(families(spec)):
        found = products(left, right, family.carriers)
        total = sum(its.inner[0] for its in found.values())
        here = {k: v[0] for k, v in left.items()}
        there = {k: v[0] for k, v in right.items()}
        k = 2 * place
        twin = here[f"{k}.weight"] @ there[f"{k}.weight"].T + torch.outer(here[f"{k}.bias"], there[f"{k}.bias"])
        twin = twin + here[f"{k + 2}.weight"].T @ there[f"{k + 2}.weight"]
        assert torch.allclose(total, twin, rtol=1e-10, atol=1e-10)
        assert pair_costs(found, family)[0] is not None


def _loaded(net: nn.Module, params: dict[str, Tensor]) -> nn.Module:
    net.load_state_dict(params)
    return net


@pytest.mark.parametrize(("size", "dtype"), [(1e-25, torch.float64), (1e20, torch.float32), (1e200, torch.float64)])
def test_networks_of_any_size_are_aligned(size, dtype):
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    spec = ws.derive(net, torch.zeros(2, 3))
    params = {name: (value.double() * size).to(dtype) for name, value in net.state_dict().items()}
    copy = ws.act(ws.sample(spec, 1, max_scale=4.0), params, spec)
    assert float(align(params, copy, spec).distance) < (1e-5 if dtype == torch.float32 else 1e-7)
    one, other = (copy | {"0.weight": copy["0.weight"] * factor} for factor in (1.0, 1.5))
    assert float(align(one, other, spec).distance) > 1e-2
