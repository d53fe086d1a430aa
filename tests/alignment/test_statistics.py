"""After repair every hidden channel has the moments of the endpoints, also on data it was not repaired on."""

import pytest
import torch
from torch import Tensor, nn

import weightspace as ws
from weightspace.alignment import between, merge, reestimate, repair
from weightspace.alignment._batches import check_batches

from .trained_pairs import Residual, blobs, trained

SAMPLES = 60_000


def outputs(module: nn.Module, params: dict[str, Tensor], sites: dict[str, int], x: Tensor) -> dict[str, Tensor]:
    """What the named layers put out, channels first: measured by hooks of its own."""
    seen: dict[str, Tensor] = {}
    handles = [
        module.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name, dim=dim: seen.__setitem__(name, out.movedim(dim, 0).flatten(1))
        )
        for name, dim in sites.items()
    ]
    with torch.no_grad():
        torch.func.functional_call(module.eval(), params, (x,))
    for handle in handles:
        handle.remove()
    return seen


def errors(
    module: nn.Module, params: dict[str, Tensor], ends: list[dict[str, Tensor]], weights: list[float],
    sites: dict[str, int], x: Tensor,
) -> float:  # fmt: skip
    """Largest error of a mean or deviation, relative to the deviation wanted; constant channels left out."""
    here = outputs(module, params, sites, x)
    there = [outputs(module, end, sites, x) for end in ends]
    worst = 0.0
    for name in sites:
        mean = torch.stack([w * end[name].mean(1) for w, end in zip(weights, there, strict=True)]).sum(0)
        deviation = torch.stack([w * end[name].std(1) for w, end in zip(weights, there, strict=True)]).sum(0)
        alive = deviation > 1e-3
        gaps = [(here[name].mean(1) - mean) / deviation, here[name].std(1) / deviation - 1]
        worst = max(worst, *(float(gap[alive].abs().max()) for gap in gaps))
    return worst


@pytest.mark.parametrize("norm", [False, True])
def test_repaired_moments_are_those_of_the_endpoints_within_one_percent_on_new_data(norm):
    nets = [trained(seed, norm=norm, steps=25) for seed in (0, 1)]
    module, (x, _), (new, _) = nets[0][0], blobs(SAMPLES, 1), blobs(SAMPLES, 2)
    spec = ws.derive(module, x[:4])
    found = merge([params for _, params in nets], spec, weights=[1.0, 2.0])
    ends = found.moved([params for _, params in nets], spec)
    sites = {"1": 1, "3": -1} if norm else {"0": -1, "2": -1}
    weights = found.weights.tolist()
    fixed = repair(module, found.params, ends, spec, list(x.split(20_000)), weights=[1.0, 2.0])
    assert errors(module, fixed, ends, weights, sites, x) < 1e-3
    assert errors(module, fixed, ends, weights, sites, new) < 0.01
    assert errors(module, found.params, ends, weights, sites, new) > 0.05
    last = "5" if norm else "4"
    assert torch.equal(fixed[f"{last}.weight"], found.params[f"{last}.weight"])
    assert torch.equal(fixed[f"{last}.bias"], found.params[f"{last}.bias"])


def test_channels_of_convolutions_with_batch_normalization_are_repaired():
    torch.manual_seed(0)
    module, x = Residual().double(), torch.randn(200, 2, 6, 6, dtype=torch.float64)
    spec = ws.derive(module, x[:2])
    ends = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        net = Residual().double()
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias)
        ends.append(reestimate(net, net.state_dict(), [x]))
    found = merge(ends, spec)
    ends = found.moved(ends, spec)
    fixed = repair(module, found.params, ends, spec, list(x.split(50)))
    sites = {"norm0": 1, "norm1": 1, "norm2": 1}
    assert (
        errors(module, fixed, ends, [0.5, 0.5], sites, x)
        < 1e-3
        < errors(module, found.params, ends, [0.5, 0.5], sites, x)
    )
    assert torch.equal(fixed["inner.weight"], found.params["inner.weight"])
    # The running statistics are those of the data: measuring them once more changes little.
    again = reestimate(module, fixed, [x])
    torch.testing.assert_close(again["norm2.running_mean"], fixed["norm2.running_mean"], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(again["norm2.running_var"], fixed["norm2.running_var"], rtol=1e-3, atol=1e-3)


def test_a_network_that_is_its_own_endpoint_is_left_as_it_is():
    module, params = trained(0)
    x, _ = blobs(300, 1)
    spec = ws.derive(module, x[:4])
    fixed = repair(module, params, [params, params], spec, [x])
    for name, value in params.items():
        torch.testing.assert_close(fixed[name], value, rtol=1e-9, atol=1e-9)


def test_constant_channels_are_shifted_and_stay_finite():
    module, params = trained(0)
    x, _ = blobs(300, 1)
    spec = ws.derive(module, x[:4])
    dead = params | {"0.weight": params["0.weight"].clone().index_fill_(0, torch.tensor([3]), 0.0)}
    for here, ends in ((dead, [params]), (params, [dead]), (dead, [dead])):
        fixed = repair(module, here, ends, spec, [x])
        assert all(bool(value.isfinite().all()) for value in fixed.values())
    sites = {"0": -1}
    wanted, got = (
        outputs(module, params, sites, x)["0"],
        outputs(module, repair(module, dead, [params], spec, [x]), sites, x),
    )
    torch.testing.assert_close(got["0"][3].mean(), wanted[3].mean())


def test_reestimated_statistics_are_the_average_over_the_batches_and_nothing_else_changes():
    module, params = trained(0, norm=True)
    x, _ = blobs(300, 1)
    found = reestimate(module, params, list(x.split(100)))
    inputs = [torch.nn.functional.linear(part, params["0.weight"], params["0.bias"]) for part in x.split(100)]
    torch.testing.assert_close(found["1.running_mean"], torch.stack([value.mean(0) for value in inputs]).mean(0))
    torch.testing.assert_close(found["1.running_var"], torch.stack([value.var(0) for value in inputs]).mean(0))
    assert not torch.allclose(found["1.running_var"], params["1.running_var"], rtol=1e-3)
    for name in set(params) - {"1.running_mean", "1.running_var", "1.num_batches_tracked"}:
        assert torch.equal(found[name], params[name])
    plain, other = trained(0)
    assert all(torch.equal(value, other[name]) for name, value in reestimate(plain, other, [x]).items())


def test_the_module_and_the_parameters_given_are_left_alone():
    module, params = trained(0, norm=True)
    x, _ = blobs(300, 1)
    spec = ws.derive(module, x[:4])
    module.train()
    module.load_state_dict(params)
    before = {name: value.clone() for name, value in params.items()}
    reestimate(module, params, [x])
    repair(module, params, [params], spec, [x])
    assert module.training
    assert not module[0]._forward_hooks
    for held in (params, module.state_dict()):
        assert all(torch.equal(value, held[name]) for name, value in before.items())


def test_bad_statistics_data_is_refused():
    module, params = trained(0, norm=True)
    x, _ = blobs(20, 1)
    spec = ws.derive(module, x[:4])
    with pytest.raises(ws.ConfigError, match="no batch"):
        reestimate(module, params, [])
    with pytest.raises(ws.ConfigError, match="read several times"):
        check_batches(iter([x]))
    with pytest.raises(ws.ConfigError, match="too small"):
        reestimate(module, params, [x[:1]])
    with pytest.raises(ws.ConfigError, match="no endpoint"):
        repair(module, params, [], spec, [x])
    with pytest.raises(ws.ConfigError, match="2 weights are given for 1"):
        repair(module, params, [params], spec, [x], weights=[1.0, 2.0])
    with pytest.raises(ws.SpecMismatch, match="not for a stack"):
        repair(module, ws.gauge.stack([params, params]), [params], spec, [x])
    with pytest.raises(ws.SpecMismatch, match="missing"):
        repair(module, {}, [params], spec, [x])


def test_the_segment_has_its_ends_and_keeps_number_types():
    _, a = trained(0, norm=True, steps=1)
    _, b = trained(1, norm=True, steps=1)
    a = {name: value.float() if value.is_floating_point() else value for name, value in a.items()}
    b = {name: value.float() if value.is_floating_point() else value for name, value in b.items()}
    for t, end in ((0.0, a), (1.0, b)):
        assert all(torch.equal(value, end[name]) for name, value in between(a, b, t).items())
    middle = between(a, b, 0.25)
    assert {name: value.dtype for name, value in middle.items()} == {name: value.dtype for name, value in a.items()}
    torch.testing.assert_close(middle["0.weight"], 0.75 * a["0.weight"] + 0.25 * b["0.weight"])
