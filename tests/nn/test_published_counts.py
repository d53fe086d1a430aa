"""The published models have the published numbers of parameters, and cost no more products than they must."""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import pytest
import torch
from published_models import Params, build, outputs, twin_outputs
from published_twin import Twin
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import weightspace as ws
from weightspace.nn import PRESETS, Preset
from weightspace.nn.published._chain import spec_of
from weightspace.testing import random_params

RELEASED = {
    "mnist_cls": 1_772_042,
    "mnist_cls -B": 3_089_162,
    "fmnist_cls": 1_160_970,
    "fmnist_cls -B": 1_722_378,
    "cifar_inr": 397_450,
    "cifar_inr -B": 492_298,
    "cifar_inr aug": 2_285_322,
    "cifar_inr aug -B": 3_324_938,
    "mnist_edit": 4_002_058,
    "mnist_edit -B": 4_821_385,
    "cifar10 relu": 1_356_801,
    "cifar10 relu -B": 2_263_809,
    "cifar10 tanh": 2_318_849,
    "cifar10 tanh -B": 3_441_665,
    "hetero": 1_688_577,
    "hetero -B": 4_250_625,
    "svhn relu": 467_969,
    "svhn relu -B": 559_105,
    "svhn tanh": 547_457,
    "svhn tanh -B": 2_680_577,
}
NEVER_USED = {128: 33_280, 64: 8_448}
"""By width: an MLP that the released full-graph read-out allocates and nothing reads."""


@pytest.mark.parametrize("name", RELEASED)
def test_parameters_are_those_of_the_release_without_the_part_that_nothing_reads(name):
    preset = PRESETS[name]
    unused = NEVER_USED[preset.width] if preset.readout == "full_graph" else 0
    assert sum(p.numel() for p in ws.nn.paper(name).parameters()) == RELEASED[name] - unused


def test_there_are_twenty_configurations():
    assert list(PRESETS) == list(RELEASED)


EDIT = PRESETS["mnist_edit -B"]
STEPS = {
    "mlp": (replace(EDIT, layout=(64, 48, 32, 16, 10), rounds=8), 75.2, 25.1),
    "inr": (EDIT, 20.4, 7.9),
    "cnn": (replace(EDIT, layout=(1, 16, 16, 16, 10), kernel=3, rounds=8), 10.1, 5.6),
}
"""Operators, GFLOP of a training step on one network of the release, and the most that ours may take."""


def counted(model: nn.Module, params: Params) -> tuple[float, float]:
    """GFLOP of matrix products: forward, and forward with backward."""
    with FlopCounterMode(display=False) as counter:
        found = twin_outputs(model, params) if isinstance(model, Twin) else outputs(model, params)
        forward = counter.get_total_flops()
        sum(value.sum() for value in found).backward()
        return forward / 1e9, counter.get_total_flops() / 1e9


@lru_cache
def products(case: str) -> tuple[float, float]:
    """Those of our model on one network. What is counted are the calls: they need not run."""
    model = build(STEPS[case][0], layout=STEPS[case][0].layout, width=None, dtype=torch.float32).to("meta")
    return counted(model, {name: value.to("meta") for name, value in random_params(model.spec, 1).items()})


@pytest.mark.parametrize("case", STEPS)
def test_a_training_step_costs_a_third_to_a_half_of_the_release(case):
    _, released, most = STEPS[case]
    assert products(case)[1] <= most < released


@pytest.mark.parametrize("case", ["inr", "cnn"])
def test_the_slow_twin_costs_what_the_release_costs(case):
    preset, released, _ = STEPS[case]
    twin = Twin(preset, spec_of(preset)).to("meta")
    params = {name: value.to("meta") for name, value in random_params(twin.graph.spec, 1).items()}
    assert abs(counted(twin, params)[1] / released - 1) <= 0.01


def needed_on_edges(preset: Preset) -> float:
    """GFLOP that no plan for scalar weights saves: two for every product of a matrix and the vector of an edge.

    A middle round takes 4 products for a message ahead to a hidden vertex, 2 to an output, 1 for a message back to a
    hidden vertex, and 2 for the update of an edge. States of the first round are numbers times shared vectors, which
    leaves 1 and 1 and 1; changes of the last round are single numbers.
    """
    edges = [m * n for m, n in pairwise(preset.layout)]
    to_hidden, to_outputs, back = sum(edges[:-1]), edges[-1], sum(edges[1:])
    messages, update = 4 * to_hidden + 2 * to_outputs + back, 2 * sum(edges)
    first, last = to_hidden + back + sum(edges), messages
    return 2e-9 * preset.width**2 * (first + (preset.rounds - 2) * (messages + update) + last)


@pytest.mark.parametrize("case", ["mlp", "inr"])
def test_no_product_escapes_the_count(case):
    # A product written as multiply-and-sum is not counted, and would be missing here.
    floor = needed_on_edges(STEPS[case][0])
    for times, product in zip((1, 3), products(case), strict=True):
        assert floor <= product / times <= 1.15 * floor


def test_the_floor_is_the_one_in_the_closed_form_of_the_study():
    assert needed_on_edges(STEPS["mlp"][0]) == pytest.approx(7.77, abs=0.005)
