"""Controls do what their names say, network by network."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_networks import images, mlp_spec, networks

from weightspace import SpecError
from weightspace.spec import parse
from weightspace.tasks import constant_output, prune_magnitude, refit_last_layer, score, select
from weightspace.zoo import stacked_mlp

SPEC = mlp_spec((6, 8, 5, 3), "sign")
TANH = partial(stacked_mlp, activation="tanh")


@given(fraction=st.floats(0, 1), seed=st.integers(0, 99))
def test_pruning_zeroes_the_stated_number_and_only_the_smallest(fraction, seed):
    params = networks(SPEC, 3, seed)
    pruned = prune_magnitude(params, fraction)
    for i in range(3):
        before = torch.cat([value[i].flatten() for value in params.values()])
        after = torch.cat([pruned[name][i].flatten() for name in params])
        gone = after == 0
        assert int(gone.sum()) == round(fraction * len(before))
        assert torch.equal(after[~gone], before[~gone])
        if gone.any() and (~gone).any():
            assert before[gone].abs().max() <= before[~gone].abs().min()


def test_the_constant_output_is_one_network_for_everybody():
    same = constant_output(select(networks(SPEC, 4), slice(2, 3)), 5)
    assert all(len(value) == 5 for value in same.values())
    assert all(torch.equal(value[0], value[4]) for value in same.values())


@given(num=st.integers(1, 3), seed=st.integers(0, 99))
def test_refitting_the_last_layer_lowers_the_training_loss_and_touches_nothing_else(num, seed):
    params, train, val = networks(SPEC, num, seed), images(300, 6, 3, seed), images(100, 6, 3, seed)
    refitted = refit_last_layer(params, SPEC, TANH, train, val)
    before, after = score(params, *train, TANH), score(refitted, *train, TANH)
    assert (after.loss < before.loss).all()
    changed = [name for name in params if not torch.equal(params[name], refitted[name])]
    assert changed == ["layers.2.weight", "layers.2.bias"]


def test_refitting_survives_a_network_without_any_live_feature():
    params = networks(SPEC, 2)
    params["layers.1.weight"][0] = 0
    params["layers.1.bias"][0] = 0
    refitted = refit_last_layer(params, SPEC, TANH, images(50, 6, 3), images(50, 6, 3))
    assert all(value.isfinite().all() for value in refitted.values())


def test_an_architecture_without_one_last_layer_cannot_be_refitted():
    spec = parse("in[6] fixed\nout[3] fixed\n\na out in~\nb out in~\n")
    with pytest.raises(SpecError, match=r"found \['a', 'b'\]"):
        refit_last_layer(networks(spec, 2), spec, TANH, images(9, 6, 3), images(9, 6, 3))
