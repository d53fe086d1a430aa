"""Merging finds copies of one network again, maps around any cycle cancel, and soups never lose what they had."""

from functools import cache
from itertools import pairwise

import pytest
import torch

import weightspace as ws
from weightspace.alignment import Merged, align, classification, greedy_soup, merge
from weightspace.spec import SymmetrySpec, without_scales

from .trained_pairs import CASES, blobs, case, largest_gap, orbit, trained, unrelated

every_case = pytest.mark.parametrize("name", CASES)


@pytest.mark.parametrize(("name", "num"), [("relu", 1), ("relu", 8), ("tanh", 8), ("gelu", 2), ("residual", 2)])
def test_copies_of_one_network_merge_to_that_network(name, num):
    module, x = case(name)
    spec = ws.derive(module, x)
    params = unrelated(spec, 1)[0]
    copies = orbit(params, spec, num)
    found = merge(copies, spec, module=module, example=x)
    assert largest_gap(params, found.params) < 1e-12
    assert float(found.distances.max()) < 1e-12
    assert len(found.output_differences) == num
    assert max(found.output_differences) < 1e-12
    # The control: without aligning, the mean is another network.
    mean = {key: sum(copy[key] for copy in copies) / num for key in params if params[key].is_floating_point()}
    assert num == 1 or largest_gap({key: params[key] for key in mean}, mean) > 0.1


@cache
def of_unrelated(name: str) -> tuple[SymmetrySpec, Merged]:
    spec = ws.derive(*case(name))
    return spec, merge(unrelated(spec, 3), spec)


@every_case
def test_maps_around_a_cycle_cancel(name):
    spec, found = of_unrelated(name)
    around = [0, 2, 1, 0]
    total = ws.identity(spec)
    for source, target in pairwise(around):
        total = ws.compose(found.between(source, target), total)
    for space, perm in total.perm.items():
        assert torch.equal(perm, torch.arange(len(perm)))
        assert torch.equal(total.scale[space].sign(), torch.ones(len(perm), dtype=torch.float64))
        torch.testing.assert_close(total.scale[space], torch.ones(len(perm), dtype=torch.float64), rtol=0, atol=1e-14)


def test_chains_of_pairwise_alignments_do_not_cancel():
    """The control of the law above."""
    module, x = case("tanh")
    spec = ws.derive(module, x)
    nets = unrelated(spec, 3)
    total = ws.identity(spec)
    for source, target in [(0, 1), (1, 2), (2, 0)]:
        total = ws.compose(align(nets[target], nets[source], spec).element, total)
    assert any(not torch.equal(perm, torch.arange(len(perm))) for perm in total.perm.values())


@every_case
def test_the_total_distance_never_rises(name):
    totals = of_unrelated(name)[1].totals
    assert len(totals) > 1
    assert all(after <= before for before, after in pairwise(totals))
    # Where gains settle the signs, pairs of such small networks leave nothing to gain.
    assert totals[-1] < totals[0] * (1 - 1e-3) or name == "residual"


def test_a_merge_says_what_it_was_matched_by_and_whether_the_plain_mean_is_better():
    module, x = case("relu")
    spec = ws.derive(module, x)
    nets = unrelated(spec, 2)
    plain = {name: (nets[0][name] + nets[1][name]) / 2 for name in nets[0]}

    def nearness(params):
        return -max(float((params[name] - plain[name]).abs().max()) for name in plain)

    found = merge(nets, spec, module=module, inputs=[x], score=nearness)
    assert found.matched == "features"
    assert found.naive == pytest.approx(0, abs=1e-12)
    assert found.worse_than_naive
    assert "merged by features" in str(found)
    assert "worse than naive" in str(found)
    assert len(found.scores) == 2
    better = merge(nets, spec, score=lambda params: -nearness(params))
    assert better.matched == "weights"
    assert not better.worse_than_naive
    assert "worse than naive" not in str(better)


def test_the_merged_function_does_not_depend_on_the_gauges_that_networks_come_in():
    module, x = case("relu")
    spec = ws.derive(module, x)
    nets = unrelated(spec, 3)
    moved = [ws.act(ws.sample(spec, k, max_scale=3.0), net, spec) for k, net in enumerate(nets)]
    here, there = merge(nets, spec).params, merge(moved, spec).params
    module.load_state_dict(here)
    assert ws.same_function(module, there, x) < 1e-9


def test_the_mean_is_that_of_the_moved_networks_by_their_weights():
    module, x = case("relu")
    spec = ws.derive(module, x)
    nets = unrelated(spec, 3)
    found = merge(nets, spec, weights=[1.0, 0.0, 3.0])
    assert float(found.weights.sum()) == 1
    assert found.used == (0, 2)
    ends = found.moved(nets, spec)
    assert largest_gap(nets[0], ends[0]) < 1e-14
    wanted = {key: 0.25 * ends[0][key] + 0.75 * ends[2][key] for key in nets[0]}
    assert largest_gap(wanted, found.params) < 1e-12
    whole = merge(nets, spec, weights=[1.0, 0.0, 0.0])
    assert largest_gap(nets[0], whole.params) < 1e-12


def test_number_types_and_integers_are_those_of_the_first_network():
    module, x = case("residual")
    spec = ws.derive(module, x)
    nets = [
        {key: value.half() if value.is_floating_point() else value for key, value in net.items()}
        for net in unrelated(spec, 2)
    ]
    nets[0]["norm0.num_batches_tracked"] = torch.tensor(7)
    nets[1] = {key: value.float() if value.is_floating_point() else value for key, value in nets[1].items()}
    found = merge(nets, spec).params
    assert {key: value.dtype for key, value in found.items()} == {key: value.dtype for key, value in nets[0].items()}
    assert list(found) == list(nets[0])
    assert int(found["norm0.num_batches_tracked"]) == 7


def test_a_greedy_soup_scores_at_least_as_well_as_its_best_network():
    nets = [trained(seed) for seed in range(3)]
    module, (x, y) = nets[0][0], blobs(500, 3)
    spec = ws.derive(module, x)
    evaluate = classification(module, x, y)
    found = greedy_soup(
        [params for _, params in nets], spec, lambda params: -evaluate(params)[0], module=module, example=x
    )
    alone = [-evaluate(params)[0] for _, params in nets]
    assert found.scores == pytest.approx(alone, abs=1e-9)
    assert found.score is not None
    assert found.score >= max(found.scores)
    assert -evaluate(found.params)[0] == pytest.approx(found.score, abs=1e-12)
    assert found.scores.index(max(found.scores)) in found.used


def test_a_soup_of_copies_uses_all_of_them():
    module, x = case("gelu")
    spec = ws.derive(module, x)
    found = greedy_soup(orbit(unrelated(spec, 1)[0], spec, 3), spec, lambda _: 1.0)
    assert found.used == (0, 1, 2)


def test_without_scales_only_permutations_are_left():
    module, x = case("tanh")
    spec = ws.derive(module, x)
    params = unrelated(spec, 1)[0]
    moved = ws.act(ws.sample(spec, 1), params, spec)
    whole, part = align(params, moved, spec), align(params, moved, without_scales(spec), module=module, example=x)
    assert float(whole.distance) < 1e-12 < 0.1 < float(part.distance)
    assert all(bool((scale == 1).all()) for scale in part.element.scale.values())
    signed = without_scales(ws.derive(*case("relu")), keep_signs=True)
    assert {space.scale for space in signed.spaces} == {"trivial"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: [], "no network"),
        (lambda nets: [nets[0], {**nets[1], "0.weight": nets[1]["0.weight"][:, :2]}], "network 1 of 2"),
        (lambda nets: [nets[0], {k: v for k, v in nets[1].items() if k != "0.bias"}], r"network 1 of 2.*'0\.bias'"),
        (lambda nets: [nets[0], {**nets[1], "0.bias": nets[1]["0.bias"] / 0}], r"'0\.bias' of network 1"),
        (lambda nets: [nets[0], ws.gauge.stack(nets)], "network 1 is a stack of 2"),
    ],
)  # fmt: skip
def test_networks_that_cannot_be_merged_are_refused(change, message):
    spec = ws.derive(*case("relu"))
    with pytest.raises(ws.SpecMismatch, match=message):
        merge(change(unrelated(spec, 2)), spec)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0], "1 weights are given for 2"), ([1.0, -1.0], "at least 0"), ([0.0, 0.0], "all weights are 0"),
     ([1.0, float("nan")], "finite")],
)  # fmt: skip
def test_weights_that_make_no_mean_are_refused(weights, message):
    spec = ws.derive(*case("relu"))
    with pytest.raises(ws.ConfigError, match=message):
        merge(unrelated(spec, 2), spec, weights=weights)


def test_a_score_that_is_no_number_is_refused():
    spec = ws.derive(*case("relu"))
    with pytest.raises(ws.ConfigError, match="score of network 0"):
        greedy_soup(unrelated(spec, 2), spec, lambda _: float("nan"))


def test_a_spec_that_does_not_hold_for_the_module_is_refused():
    spec = ws.derive(*case("relu"))
    module, x = case("gelu")
    nets = unrelated(spec, 2)
    with pytest.raises(ws.SpecMismatch, match="more than rounding"):
        merge(nets, spec, module=module, example=x)
