"""The segment begins and ends with the networks given; identical ones have no barrier; bad input is refused."""

import pytest
import torch

import weightspace as ws
from weightspace.alignment import Barrier, barrier, classification

from .trained_pairs import blobs, case, orbit, trained, unrelated


def test_the_ends_of_the_curve_are_the_networks_themselves():
    (module, a), (_, b) = trained(0, norm=True), trained(1, norm=True)
    evaluate = classification(module, *blobs(300, 1))
    found = barrier(a, b, evaluate, points=5)
    assert found.accuracy is not None
    for place, end in ((0, a), (-1, b)):
        assert (float(found.loss[place]), float(found.accuracy[place])) == evaluate(end)
    assert found.over_line > 0.1
    assert found.accuracy_over_line is not None
    assert found.accuracy_over_line > 0.05
    assert "barrier" in str(found)


def test_identical_networks_have_no_barrier():
    module, a = trained(0)
    found = barrier(a, a, classification(module, *blobs(300, 1)), points=5)
    for value in (found.over_line, found.over_mean, found.midpoint, found.accuracy_over_line, found.accuracy_over_mean):
        assert value == pytest.approx(0, abs=1e-12)


def test_copies_of_one_network_have_a_barrier_before_aligning_and_none_after():
    module, a = trained(0)
    x, y = blobs(300, 1)
    spec, evaluate = ws.derive(module, x[:4]), classification(module, x, y)
    copy = orbit(a, spec, 2)[1]
    moved = ws.align(a, copy, spec).params
    assert barrier(a, copy, evaluate, points=5).over_line > 0.1
    assert barrier(a, moved, evaluate, points=5).over_line < 1e-9


def test_one_element_that_moves_both_networks_leaves_the_curve_alone_and_one_that_moves_one_does_not():
    (module, a), (_, b) = trained(0), trained(1)
    x, y = blobs(300, 1)
    spec, evaluate = ws.derive(module, x[:4]), classification(module, x, y)
    element = ws.sample(spec, 3)
    here = barrier(a, b, evaluate, points=5).loss
    both = barrier(ws.act(element, a, spec), ws.act(element, b, spec), evaluate, points=5).loss
    one = barrier(a, ws.act(element, b, spec), evaluate, points=5).loss
    torch.testing.assert_close(here, both)
    assert float((here - one).abs().max()) > 0.01


def test_both_definitions_on_a_curve_written_by_hand():
    t, loss = torch.linspace(0, 1, 5).double(), torch.tensor([1.0, 2.0, 2.5, 2.6, 3.0]).double()
    found = Barrier(t, loss, 1 - loss / 10)
    assert found.over_mean == pytest.approx(1.0)
    assert found.over_line == pytest.approx(0.5)
    assert found.midpoint == pytest.approx(0.5)
    assert found.accuracy_over_mean == pytest.approx(0.1)
    assert found.accuracy_over_line == pytest.approx(0.05)
    assert found.accuracy_midpoint == pytest.approx(0.05)


def test_corrections_are_made_between_the_ends_only():
    _, a = trained(0, steps=1)
    seen: list[float] = []

    def after(params, t):
        seen.append(t)
        return {name: value + 1 for name, value in params.items()}

    found = barrier(a, a, lambda params: float(params["0.bias"][0]), points=5, after=after)
    assert seen == [0.25, 0.5, 0.75]
    torch.testing.assert_close(found.loss - found.loss[0], torch.tensor([0, 1, 1, 1, 0.0]).double())
    assert found.accuracy is None
    assert found.accuracy_over_line is None


def test_bad_segments_are_refused():
    spec = ws.derive(*case("gelu"))
    a, b = unrelated(spec, 2)
    for points in (1, 4):
        with pytest.raises(ws.ConfigError, match="odd number"):
            barrier(a, b, lambda _: 0.0, points=points)
    with pytest.raises(ws.SpecMismatch, match=r"'0\.bias' is \[6\] in the first network and absent"):
        barrier(a, {name: value for name, value in b.items() if name != "0.bias"}, lambda _: 0.0)
    with pytest.raises(ws.SpecMismatch, match="one architecture"):
        barrier(a, b | {"0.bias": b["0.bias"][:2]}, lambda _: 0.0)
    with pytest.raises(ws.SpecMismatch, match="of the second network has entries that are not finite"):
        barrier(a, b | {"0.bias": b["0.bias"] / 0}, lambda _: 0.0)
    with pytest.raises(ws.ConfigError, match="measured at 0 of the segment is not a number"):
        barrier(a, b, lambda _: float("nan"))
