"""Many pairs, many methods: intervals, paired differences, fidelity of the ends, files and the figure."""

import csv
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import weightspace as ws
from weightspace.alignment import classification
from weightspace.run.verbs import barriers as files
from weightspace.tasks import BarrierMethod, Barriers, barriers, methods

Pair = tuple[dict[str, Tensor], dict[str, Tensor]]


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()


@cache
def measured() -> Barriers:
    """Two pairs, each of a network and a copy in another gauge, by the usual methods and one of a user's own."""
    module, x = network(0), torch.randn(200, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spec, pairs = ws.derive(module, x[:2]), []
    for seed in (1, 2):
        a = dict(module.state_dict())
        pairs.append((a, ws.act(ws.sample(spec, seed, max_scale=4.0), a, spec)))
    labels = module(x).argmax(-1)
    worse = BarrierMethod("own", lambda _, b: {name: 2 * value for name, value in b.items()})
    ways = (*methods(spec, module=module, batches=[x]), worse)
    return barriers(pairs, classification(module, x, labels), ways, points=5)


def test_there_is_a_row_for_each_pair_and_method():
    found = measured()
    assert found.methods == (
        "naive",
        "permutations",
        "weights",
        "weights + repair",
        "features",
        "features + repair",
        "own",
    )
    assert [(row.pair, row.method) for row in found.rows] == [(k, name) for k in range(2) for name in found.methods]


def test_copies_meet_by_our_method_and_not_by_permutations_alone():
    found = measured()
    ours, naive, order = (found.mean(name, "midpoint") for name in ("weights", "naive", "permutations"))
    assert ours is not None
    assert naive is not None
    assert order is not None
    assert abs(ours.mean) < 1e-9 < 1e-4 < abs(order.mean)
    assert naive.low <= naive.mean <= naive.high
    difference, larger = found.difference("weights", "permutations", "midpoint") or pytest.fail("measured")
    assert difference.mean == pytest.approx(ours.mean - order.mean)
    assert 0 <= larger <= 2


def test_the_ends_show_what_moving_did_to_the_second_network():
    found = measured()
    assert max(row.infidelity for row in found.of("weights")) < 1e-12
    assert min(row.infidelity for row in found.of("own")) > 1e-3
    row = found.of("own")[0].row()
    assert row["loss_b"] != row["loss_b_moved"]
    assert {"accuracy_a", "accuracy_b", "accuracy_b_moved", "over_line", "over_mean", "midpoint"} <= set(row)


def test_files_hold_every_row_and_the_figure_every_method(tmp_path):
    found = measured()
    pairs, curves, figure = files.write_barriers(tmp_path, found)
    rows = list(csv.DictReader(pairs.read_text().splitlines()))
    assert [float(row["over_line"]) for row in rows] == [row.curve.over_line for row in found.rows]
    assert [row["worse_than_naive"] == "True" for row in rows] == [
        row in found.worse_than_naive() for row in found.rows
    ]
    places = list(csv.DictReader(curves.read_text().splitlines()))
    assert len(places) == len(found.rows) * 5
    text = figure.read_text()
    assert text.startswith("<svg")
    assert all(name in text for name in found.methods)


def test_rows_above_naive_at_the_middle_are_named_and_no_others():
    module, x = network(0), torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels, params = module(x).argmax(-1), dict(module.state_dict())
    ways = [
        BarrierMethod("naive", lambda _, b: b),
        BarrierMethod("same", lambda a, _: a),
        BarrierMethod("turned", lambda a, _: {name: -value for name, value in a.items()}),
    ]
    found = barriers([(params, params)], classification(module, x, labels), ways, points=3)
    assert [row.method for row in found.worse_than_naive()] == ["turned"]
    assert "worse than naive at the middle: turned (pair 0)" in str(found)
    assert not barriers([(params, params)], lambda _: 0.0, ways[1:], points=3).worse_than_naive()


def test_a_symmetry_of_permutations_only_has_one_row_for_them():
    spec = ws.spec.without_scales(ws.derive(network(0), torch.zeros(2, 4).double()))
    assert [method.name for method in methods(spec)] == ["naive", "weights"]


def test_without_accuracies_there_are_none():
    spec = ws.derive(network(0), torch.zeros(2, 4).double())
    pair = (dict(network(1).state_dict()), dict(network(2).state_dict()))
    found = barriers([pair], lambda params: float(params["0.bias"].sum()), methods(spec), points=3)
    assert found.mean("weights", "accuracy_midpoint") is None
    assert found.band("weights", accuracy=True) is None
    assert files.barrier_curves(found).startswith("<svg")


def test_bad_comparisons_are_refused():
    spec = ws.derive(network(0), torch.zeros(2, 4).double())
    ways, pair = methods(spec), (dict(network(1).state_dict()), dict(network(2).state_dict()))
    for pairs, chosen, groups, message in (
        ([], ways, None, "0 pairs"),
        ([pair], [], None, "0 methods"),
        ([pair], [ways[0], ways[0]], None, "different names"),
        ([pair], ways, [1, 2], "2 groups are given for 1"),
    ):
        with pytest.raises(ws.ConfigError, match=message):
            barriers(pairs, lambda _: 0.0, chosen, groups=groups)
    with pytest.raises(ws.ConfigError, match="no method 'mine'"):
        measured().of("mine")
    with pytest.raises(ws.ConfigError, match="no measure 'size'"):
        measured().mean("weights", "size")
