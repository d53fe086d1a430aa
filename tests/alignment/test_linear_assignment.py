"""The published baseline: exact for one layer, a fixed point for several, and not always the best one."""

from itertools import permutations, product

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import weightspace as ws
from weightspace.alignment import align, linear_assignment
from weightspace.gauge import stack
from weightspace.gauge.match import best_signs, problem
from weightspace.tasks import perturb
from weightspace.tasks.merging.orbit_curves import orbit_pairs, same_places

from . import chain, draw


@given(st.integers(1, 4), st.sampled_from(["trivial", "sign", "positive"]), st.integers(0, 1000))
def test_with_one_layer_it_is_the_best_of_all_orders_and_signs(size: int, group: str, seed: int) -> None:
    spec = chain(3, [(size, group)], 2)
    a, b = draw(spec, seed), draw(spec, seed + 1000)
    signs = list(product([1.0, -1.0], repeat=size)) if group == "sign" else [(1.0,) * size]
    orders, flips = zip(*product(permutations(range(size)), signs), strict=True)
    every = ws.Element({"h0": torch.tensor(orders)}, {"h0": torch.tensor(flips, dtype=torch.float64)})
    alike = sum((a[name] * value).flatten(1).sum(1) for name, value in ws.act(every, b, spec).items())
    reached = sum(float((a[n] * v).sum()) for n, v in ws.act(linear_assignment(a, b, spec), b, spec).items())
    assert abs(reached - float(alike.max())) <= 1e-9 * max(1.0, abs(reached))


@settings(max_examples=6)
@given(st.lists(st.integers(2, 5), min_size=1, max_size=3), st.integers(0, 1000), st.integers(1, 3))
def test_it_ends_where_no_layer_can_be_matched_better(sizes: list[int], seed: int, num: int) -> None:
    spec = chain(3, [(size, "sign") for size in sizes], 2)
    a, b = (stack([draw(spec, seed + 10 * k + far) for k in range(num)]) for far in (0, 1000))
    element = linear_assignment(a, b, spec, seed=seed)
    moved = ws.act(element, b, spec)
    for family in problem(a, moved, spec).families:
        step = best_signs(a, moved, spec, family)
        assert all(torch.equal(perm, torch.arange(perm.shape[-1]).expand_as(perm)) for perm in step.perm.values())
        assert all(bool((scale == 1).all()) for scale in step.scale.values())
    same = linear_assignment(a, b, spec, seed=seed)
    assert all(torch.equal(perm, same.perm[name]) for name, perm in element.perm.items())


def test_a_single_network_is_a_stack_of_one():
    spec = chain(3, [(5, "sign"), (4, "sign")], 2)
    a, b = draw(spec, 0), draw(spec, 1)
    alone, stacked = linear_assignment(a, b, spec), linear_assignment(stack([a]), stack([b]), spec)
    assert all(torch.equal(perm, stacked.perm[name][0]) for name, perm in alone.perm.items())


def test_a_neuron_without_product_is_kept():
    """The sign of 0 is taken as 1, or the neuron would be multiplied by 0."""
    spec = chain(2, [(3, "sign")], 1)
    a, b = draw(spec, 0), draw(spec, 1)
    zero = {name: torch.zeros_like(value) for name, value in a.items()}
    assert bool((linear_assignment(zero, b, spec).scale["h0"] == 1).all())


def test_some_planted_elements_are_lost_to_it_and_none_to_ours():
    """Negative control: the start from the identity is what costs."""
    spec = chain(2, [(10, "sign"), (10, "sign")], 1)
    pairs = orbit_pairs(draw(spec, 0), spec, "all", num=100, sigma=0.0, seed=0)
    paper = same_places(linear_assignment(pairs.first, pairs.second, spec), pairs.planted)
    ours = same_places(align(pairs.first, pairs.second, spec).element, pairs.planted)
    assert bool(ours.all())
    assert 0.1 < float(paper.double().mean()) < 0.99


def test_positive_scales_are_left_as_they_are():
    spec = chain(3, [(6, "positive")], 2)
    copies, _ = perturb(draw(spec, 0), spec, "scales", num=5)
    found = linear_assignment({name: value.roll(1, 0) for name, value in copies.items()}, copies, spec)
    assert bool((found.scale["h0"] == 1).all())
