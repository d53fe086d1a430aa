"""The families beside the scale-equivariant ones: what they read of a network, and what they refuse."""

from functools import cache

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES
from hypothesis import given
from metanets import awkward, double, mlp
from specs import seeds, specs
from torch import nn

import weightspace as ws
from weightspace import ConfigError, SpecError
from weightspace.nn import PRESETS, AbstractFamily, Architecture, DeepSetsFamily, FlatFamily, PublishedFamily
from weightspace.nn import StatisticsFamily as Statistics
from weightspace.nn.flat import standardized
from weightspace.nn.statistics import QUANTILES, statistics
from weightspace.spec import SymmetrySpec, parse
from weightspace.testing import Params, assert_equivariant, assert_invariant, random_params

EVERYTHING = ["batchnorm_cnn", "lstm_tagger", "attention_relative_bias"]
READERS = [FlatFamily(width=8), Statistics(width=8)]


@cache
def rich(name: str) -> tuple[SymmetrySpec, Params]:
    """The spec of a test architecture, and two networks of it in float64."""
    entry = ARCHITECTURES[name]
    module = entry.factory()
    spec = ws.derive(module, entry.example() if len(entry.inputs) > 1 else entry.example()[0])
    generator = torch.Generator().manual_seed(0)

    def another(value: torch.Tensor) -> torch.Tensor:
        factor = torch.randn(value.shape, generator=generator, dtype=torch.float64).exp()
        return value * factor if value.is_floating_point() else value + 1

    return spec, {name: torch.stack([value, another(value)]) for name, value in module.state_dict().items()}


@pytest.mark.parametrize("family", READERS, ids=lambda family: family.kind)
@pytest.mark.parametrize("name", EVERYTHING)
def test_flat_and_statistics_read_every_architecture(name, family):
    spec, params = rich(name)
    found = family.functional(Architecture(spec), 2).double()(params)
    assert found.shape == (2, 2)
    assert (found[0] - found[1]).abs().max() > 1e-2 * found.abs().max()


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_flat_operator_changes_every_real_number_and_no_whole_one(name):
    spec, params = rich(name)
    torch.manual_seed(0)
    new = FlatFamily(width=8).operator(Architecture(spec)).double()(params)
    assert list(new) == list(params)
    for key, value in params.items():
        assert new[key].dtype == value.dtype
        changed = new[key] != value
        assert changed.all() if value.is_floating_point() and value.all() else not changed.any()


def test_running_variances_stay_positive():
    spec, params = rich("batchnorm_cnn")
    operator = FlatFamily(width=8).operator(Architecture(spec)).double()
    nn.init.constant_(operator.steps, 100.0)
    variances = [name for name in params if name.endswith("running_var")]
    assert variances
    assert all((operator(params)[name] >= 0).all() for name in variances)


def test_flat_units_undo_the_size_of_a_tensor_and_keep_its_logarithm():
    values = {"a": torch.randn(3, 5, dtype=torch.float64), "b": torch.zeros(3, 2, dtype=torch.float64)}
    x, _ = standardized(values)
    doubled, _ = standardized({name: 2 * value for name, value in values.items()})
    torch.testing.assert_close(x[:, :5].square().mean(1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(doubled[:, :7], x[:, :7])
    torch.testing.assert_close((doubled - x)[:, 7], torch.full((3,), 2.0, dtype=torch.float64).log())
    assert not x[:, 5:7].any()


@pytest.mark.parametrize("num", [1, 2, 7, 12])
def test_statistics_are_those_of_numpy(num):
    x = torch.randn(3, num, dtype=torch.float64)
    want = np.stack([x.mean(1), x.var(1, correction=0), *np.quantile(x.numpy(), QUANTILES, axis=1)], 1)
    torch.testing.assert_close(statistics(x), torch.from_numpy(want))


@given(spec=specs(), seed=seeds)
def test_deep_sets_keep_their_laws_for_every_group_and_kernel(spec, seed):
    family, params = DeepSetsFamily(width=12), double(spec, 6, seed)
    torch.manual_seed(seed)
    functional, operator = (
        m.double() for m in (family.functional(Architecture(spec), 2), family.operator(Architecture(spec)))
    )
    assert_invariant(functional, spec, params, seed=seed, tolerance=1e-10, min_spread=1e-3)
    assert_equivariant(operator, spec, params, seed=seed, tolerance=1e-10, min_change=1e-4)


def test_deep_sets_change_dead_neurons_by_a_factor():
    spec = mlp("positive")
    params = awkward(spec, torch.float64)
    delta = DeepSetsFamily(width=8).operator(Architecture(spec)).double().delta(params)
    assert all((delta[name].abs() <= value.abs()).all() for name, value in params.items())


@pytest.mark.parametrize("family", [FlatFamily(width=8), DeepSetsFamily(width=8)], ids=lambda family: family.kind)
def test_gradients_of_tiny_networks_are_finite(family):
    architecture = Architecture(mlp("sign"))
    params = {name: (1e-30 * x).requires_grad_() for name, x in random_params(architecture.spec, 3).items()}
    for value in (*family.operator(architecture)(params).values(), family.functional(architecture, 1)(params)):
        value.sum().backward(retain_graph=True)
    assert all(x.grad is not None and x.grad.isfinite().all() for x in params.values())


def test_deep_sets_refuse_by_name_what_is_neither_weight_nor_bias():
    with pytest.raises(SpecError, match=r"parameter '.*' has the label"):
        DeepSetsFamily().functional(Architecture(rich("lstm_tagger")[0]), 1)


@pytest.mark.parametrize("family", [*READERS, DeepSetsFamily()], ids=lambda family: family.kind)
def test_an_output_of_no_numbers_and_a_network_of_none_are_refused(family):
    with pytest.raises(ConfigError, match="out=0"):
        family.functional(Architecture(mlp("sign")), 0)
    with pytest.raises(SpecError, match="nothing to read"):
        family.functional(Architecture(parse("in[3] fixed\n")), 1)


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.group != "hetero"])
def test_every_preset_is_of_one_use_for_networks_of_its_group(name):
    family = PublishedFamily(preset=name, width=4, rounds=2)
    architecture = Architecture(mlp("sign" if PRESETS[name].group == "sign" else "positive"))
    params = random_params(architecture.spec, 2)
    if PRESETS[name].readout == "operator":
        assert list(family.operator(architecture)(params)) == list(params)
        with pytest.raises(ConfigError, match="is no functional"):
            family.functional(architecture, 3)
    else:
        model = family.functional(architecture, 3)
        assert (model.preset.width, model.preset.rounds, model(params).shape) == (4, 2, (2, 3))
        with pytest.raises(ConfigError, match=r"is no operator.*'mnist_edit', 'mnist_edit -B'"):
            family.operator(architecture)


def test_sizes_left_out_are_the_published_ones():
    model = PublishedFamily(preset="cifar_inr").functional(Architecture(mlp("sign")), 3)
    assert (model.preset.width, model.preset.rounds) == (64, 4)


def test_presets_that_are_no_family_are_refused_when_they_are_read():
    for name, message in (("hetero -B", r"bool per network.*ws.nn.paper\('hetero -B'\)"), ("mnist", "no published")):
        with pytest.raises(ConfigError, match=message):
            AbstractFamily.read({"kind": "published", "preset": name})
    with pytest.raises(SpecError, match="sign scales"):
        PublishedFamily(preset="mnist_cls").functional(Architecture(mlp("positive")), 1)
