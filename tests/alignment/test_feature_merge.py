"""Merging by features: copies are found again from data, maps cancel, and no gauge that networks come in matters."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import weightspace as ws
from weightspace.alignment import greedy_soup, match_activations, merge
from weightspace.alignment._feature_universe import _matched, feature_universe
from weightspace.alignment._features import Family, Features
from weightspace.gauge.match import assign, families

from .trained_pairs import blobs, case, largest_gap, orbit, trained, unrelated


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "residual"])
@pytest.mark.parametrize("num", [1, 4])
def test_copies_of_one_network_merge_to_that_network(name, num):
    module, x = case(name)
    spec = ws.derive(module, x)
    params = unrelated(spec, 1)[0]
    found = merge(orbit(params, spec, num), spec, module=module, example=x, inputs=[x, -x])
    assert largest_gap(params, found.params) < 1e-9
    assert found.totals[-1] < 1e-9
    # The control: unrelated networks do not come together.
    others = merge(unrelated(spec, 4), spec, module=module, example=x, inputs=[x, -x])
    assert others.totals[-1] > 1


@pytest.mark.parametrize("name", ["relu", "tanh", "residual"])
def test_maps_around_a_cycle_cancel_and_the_total_falls(name):
    module, x = case(name)
    spec = ws.derive(module, x)
    found = merge(unrelated(spec, 4), spec, module=module, inputs=[x])
    assert all(after <= before + 1e-12 for before, after in pairwise(found.totals))
    total = ws.identity(spec)
    for source, target in pairwise([0, 2, 1, 3, 0]):
        total = ws.compose(found.between(source, target), total)
    for space, perm in total.perm.items():
        assert torch.equal(perm, torch.arange(len(perm)))
        torch.testing.assert_close(total.scale[space], torch.ones(len(perm), dtype=torch.float64), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["relu", "tanh", "residual"])
def test_the_merged_function_does_not_depend_on_the_gauges_that_networks_come_in(name):
    module, x = case(name)
    spec = ws.derive(module, x)
    nets = unrelated(spec, 3)
    moved = [ws.act(ws.sample(spec, k, max_scale=3.0), net, spec) for k, net in enumerate(nets)]
    here, there = (merge(some, spec, module=module, inputs=[x]).params for some in (nets, moved))
    module.load_state_dict(here)
    assert ws.same_function(module, there, x) < 1e-9


def test_two_networks_are_matched_as_by_match_activations():
    module, x = case("relu")
    spec = ws.derive(module, x)
    nets = unrelated(spec, 2)
    found = feature_universe(nets, spec, module, [x])
    wanted = match_activations(nets[0], nets[1], spec, module, [x])
    between = merge(nets, spec, module=module, inputs=[x]).between(1, 0)
    for space, perm in wanted.perm.items():
        assert torch.equal(between.perm[space], perm)
        torch.testing.assert_close(between.scale[space], wanted.scale[space])
    assert len(found.totals) > 1


def _alone(size: int):
    """A family of one space."""
    spec = ws.parse(f"in[1] fixed\nh[{size}]\nout[1] fixed\n\nw h in~\nv out h~\n")
    return families(spec)[0], spec


@given(size=st.integers(1, 5), num=st.integers(1, 4), signs=st.booleans(), seed=st.integers(0, 2**31))
def test_no_network_alone_can_be_matched_better_and_the_total_is_the_distance_to_the_mean(size, num, signs, seed):
    generator = torch.Generator().manual_seed(seed)
    seen = torch.randn(num, 40, size, generator=generator, dtype=torch.float64)
    seen = (seen - seen.mean(1, keepdim=True)) / seen.std(1, correction=0, keepdim=True)
    pairs = {(i, j): seen[i].T @ seen[j] / 40 for i in range(num) for j in range(i + 1, num)}
    space, spec = _alone(size)
    together = Features(pairs, torch.ones(num, size, dtype=torch.float64))
    found = _matched(space, {"h": Family(together, "h" if signs else None, {})}, spec, num)
    placed = torch.stack([seen[k][:, found.orders["h"][k]] * found.signs["h"][k] for k in range(num)])
    assert found.totals[-1] == pytest.approx(float((placed - placed.mean(0)).square().sum()) / 40, abs=1e-9)
    assert signs or bool((found.signs["h"] == 1).all())
    for k in range(num):
        others = placed.sum(0) - placed[k]
        products = others.T @ seen[k] / 40
        products = products.abs() if signs else products
        best = products.gather(1, assign(-products).unsqueeze(1)).sum()
        assert float((others * placed[k]).sum()) / 40 == pytest.approx(float(best), abs=1e-7)


def test_a_greedy_soup_can_match_features():
    nets = [trained(seed) for seed in range(2)]
    module, (x, _) = nets[0][0], blobs(100, 3)
    found = greedy_soup([net for _, net in nets], ws.derive(module, x), lambda _: 1.0, module=module, inputs=[x])
    assert found.used == (0, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"inputs": [torch.zeros(2, 5)]}, "features are read off a module"),
        ({"module": case("relu")[0], "inputs": []}, "there is no batch"),
    ],
)
def test_features_need_a_module_and_batches(words, message):
    spec = ws.derive(*case("relu"))
    with pytest.raises(ws.ConfigError, match=message):
        merge(unrelated(spec, 2), spec, **words)
