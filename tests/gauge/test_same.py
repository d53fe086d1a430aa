"""Two gauges of one network are recognized, with the element between them; near misses are not."""

import pytest
import torch
from architectures import ARCHITECTURES
from architectures.oracle import random_state
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import weightspace as ws
from weightspace.gauge import LIMIT, same_pairs


def network(activation: type[nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(9, 12), activation(), nn.Linear(12, 7), activation(), nn.Linear(7, 3))


def cast_floats(params: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in params.items()}


def cast(params: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: value.to(dtype) for name, value in params.items()}


ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.GELU, nn.Identity]
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_orbit_copies_are_the_same_network_and_the_element_says_how(
    activation: type[nn.Module], dtype: torch.dtype
) -> None:
    for seed in range(2):
        net = network(activation, seed)
        spec, params = ws.derive(net, torch.zeros(2, 9)), dict(net.state_dict())
        wide = cast(params, torch.float64)  # the copy is rounded once, to its own type
        copy = cast(ws.act(ws.sample(spec, seed, max_scale=4.0), wide, spec), dtype)
        found = ws.same(params, copy, spec)
        assert found, str(found)
        moved = ws.act(found.element, params, spec)
        for name, value in copy.items():
            tolerance = max(3 * torch.finfo(dtype).eps, 1e-6)
            torch.testing.assert_close(moved[name].float(), value.float(), rtol=tolerance, atol=tolerance)
        limit = 0.02 if dtype == torch.bfloat16 else 0.005
        assert ws.fingerprint(params, spec).distance(ws.fingerprint(copy, spec)) < limit


def test_float64_networks_are_the_same_up_to_the_rounding_of_the_comparison_itself() -> None:
    torch.manual_seed(2)  # at which the running variance is off by two roundings
    net = nn.Sequential(nn.Linear(9, 12), nn.BatchNorm1d(12, affine=False), nn.ReLU(), nn.Linear(12, 3)).double()
    spec = ws.derive(net, torch.zeros(2, 9, dtype=torch.float64))
    params = {name: value + 0.1 if value.is_floating_point() else value for name, value in net.state_dict().items()}
    for seed in range(5):
        assert ws.same(params, ws.act(ws.sample(spec, seed), params, spec), spec)
    wrong = {**params, "0.weight": params["0.weight"] * (1 + 1e-9 * torch.eye(12, 9, dtype=torch.float64))}
    assert not ws.same(params, wrong, spec)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_one_weight_changed_by_one_percent_is_another_network(activation: type[nn.Module], dtype: torch.dtype) -> None:
    for seed in range(5):
        net = network(activation, seed)
        spec, params = ws.derive(net, torch.zeros(2, 9)), dict(net.state_dict())
        copy = ws.act(ws.sample(spec, seed, max_scale=4.0), params, spec)
        weight = copy["2.weight"]
        weight.view(-1)[int(weight.abs().argmax())] *= 1.01
        assert not ws.same(params, cast(copy, dtype), spec)


def test_a_fan_in_permuted_without_its_fan_out_is_another_network_with_another_fingerprint() -> None:
    net = network(nn.ReLU, 0)
    spec, params = ws.derive(net, torch.zeros(2, 9)), dict(net.state_dict())
    wrong = params | {name: params[name].roll(1, 0) for name in ("0.weight", "0.bias")}
    assert not ws.same(params, wrong, spec)
    assert ws.fingerprint(params, spec).distance(ws.fingerprint(wrong, spec)) > 0.02
    assert ws.fingerprint(params, spec).text != ws.fingerprint(wrong, spec).text


def test_a_step_of_training_is_another_network() -> None:
    net = network(nn.Tanh, 1)
    spec, params = ws.derive(net, torch.zeros(2, 9)), {k: v.clone() for k, v in net.state_dict().items()}
    optimizer = torch.optim.SGD(net.parameters(), 1e-3)
    net(torch.randn(16, 9)).square().mean().backward()
    optimizer.step()
    assert not ws.same(params, dict(net.state_dict()), spec)


def test_residual_networks_with_batch_normalization_are_recognized() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.norm, self.two = nn.Conv2d(6, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Conv2d(5, 6, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.two(torch.relu(self.norm(self.one(x))))

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), Block(), Block(), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3)).eval()
    spec, params = ws.derive(net, torch.zeros(2, 3, 6, 6)), dict(net.state_dict())
    for value in params.values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.1)
    copy = ws.act(ws.sample(spec, 3, max_scale=2.0), params, spec)
    assert ws.same(params, copy, spec).distance < 1e-5


class FreshBlock(nn.Module):
    """Residual, without biases but those of the normalizations, which begin as 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm2(self.two(torch.relu(self.norm1(self.one(x))))))


@pytest.mark.parametrize("depth", [1, 4])
def test_a_fresh_network_with_batch_normalization_is_found_in_its_copy(depth: int) -> None:
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()]
    net = nn.Sequential(*stem, *(FreshBlock(6) for _ in range(depth)), nn.Flatten(), nn.Linear(96, 3))
    spec, params = ws.derive(net.eval(), torch.zeros(2, 3, 6, 6), verify=False), dict(net.state_dict())
    copy = ws.act(ws.sample(spec, 3), params, spec)
    found = ws.same(params, copy, spec)
    assert found, str(found)
    assert ws.align(copy, params, spec).distance < 1e-6
    assert ws.fingerprint(params, spec).distance(ws.fingerprint(copy, spec)) < 1e-5
    weight = copy[f"{depth + 2}.two.weight"]
    weight.view(-1)[int(weight.abs().argmax())] *= 1.01
    assert not ws.same(params, copy, spec)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(data=st.data(), seed=st.integers(0, 999))
@settings(max_examples=6)
def test_dead_neurons_hide_no_copy(dtype: torch.dtype, data: st.DataObject, seed: int) -> None:
    activation = data.draw(st.sampled_from([nn.ReLU, nn.Tanh]))
    net = network(activation, seed)
    spec, params = ws.derive(net, torch.zeros(2, 9), verify=False), cast(dict(net.state_dict()), torch.float64)
    for layer, width in ((0, 12), (2, 7)):
        for side in ("in", "out"):
            for neuron in data.draw(st.sets(st.integers(1, width - 1), max_size=3)):
                if side == "out":
                    params[f"{layer + 2}.weight"][:, neuron] = 0
                else:
                    params[f"{layer}.weight"][neuron], params[f"{layer}.bias"][neuron] = 0, 0
    params["4.weight"][:, 0] = torch.linspace(1, 2, 3)  # something is computed, by a neuron that is alive
    element = ws.sample(spec, seed, max_scale=4.0)
    found = ws.same(params, cast(ws.act(element, params, spec), dtype), spec)
    assert found, str(found)
    wrong = params | {"4.weight": params["4.weight"] * torch.tensor([1.05, *(1.0,) * 6])}
    assert not ws.same(params, cast(ws.act(element, wrong, spec), dtype), spec)


@pytest.mark.parametrize("seed", [136, 185, 958])
def test_neurons_that_a_sweep_puts_out_of_place_hide_no_copy(seed: int) -> None:
    net = network(nn.Tanh, seed)
    spec, params = ws.derive(net, torch.zeros(2, 9), verify=False), cast(dict(net.state_dict()), torch.float64)
    params["0.weight"][3], params["0.bias"][3] = 0, 0
    params["4.weight"][:, 0] = torch.linspace(1, 2, 3)
    copy = ws.act(ws.sample(spec, seed, max_scale=4.0), params, spec)
    found = ws.same(params, cast(copy, torch.bfloat16), spec)
    assert found, str(found)


@pytest.mark.parametrize("size", [1e-40, 1e20, 1e200])
def test_networks_of_any_size_are_found_in_their_copies(size: float) -> None:
    net = network(nn.ReLU, 3)
    spec, params = ws.derive(net, torch.zeros(2, 9), verify=False), cast(dict(net.state_dict()), torch.float64)
    params = {name: value * size if size > 1 else value for name, value in params.items()}
    if size < 1:  # neurons that weight decay has taken to numbers of few digits
        params["0.weight"][:5] *= size
        params["2.weight"][:, :5] *= size
    params = cast(params, torch.float64 if size > 1e30 else torch.float32)
    copy = ws.act(ws.sample(spec, 1), params, spec)
    assert ws.same(params, copy, spec)
    assert float(same_pairs([params, copy], [(0, 1)], spec)) <= LIMIT
    wrong = copy | {"4.weight": copy["4.weight"] * 1.01}
    assert not ws.same(params, wrong, spec)
    assert float(same_pairs([params, wrong], [(0, 1)], spec)) > LIMIT


HARD = ["batchnorm_cnn", "resnext", "attention_by_head", "attention_qk_norm", "multihead_prenorm", "maxout"]


@pytest.mark.parametrize("name", HARD)
def test_blocks_and_several_signs_are_matched_in_spite_of_rounding(name: str) -> None:
    entry = ARCHITECTURES[name]
    module = entry.factory()
    spec = ws.derive(module, entry.example(), verify=False)
    wide = random_state(module, 1)
    copy = cast_floats(ws.act(ws.sample(spec, 2, max_scale=4.0), wide, spec), torch.bfloat16)
    found = ws.same(wide, copy, spec)
    assert found, str(found)
    moved = ws.act(found.element, wide, spec)
    for key, value in copy.items():
        torch.testing.assert_close(moved[key], value.to(moved[key]), rtol=0.01, atol=0.01)


def test_a_head_whose_queries_are_another_heads_is_another_network() -> None:
    entry = ARCHITECTURES["attention_separate"]
    module = entry.factory()
    spec = ws.derive(module, entry.example(), verify=False)
    wide = random_state(module, 1)
    (inside,) = {axes[0].space for name, axes in spec.params if name.endswith("q.weight")}
    half = spec.space[str(inside)].size // 2
    wrong = {k: v.roll(half, 0) if k.endswith(("q.weight", "q.bias")) else v for k, v in wide.items()}
    assert not ws.same(wide, wrong, spec)


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_a_quantized_copy_is_recognized_if_its_bits_are_said_and_only_then(
    activation: type[nn.Module], by_channel: bool
) -> None:
    for seed in range(2):
        net = network(activation, seed)
        spec, params = ws.derive(net, torch.zeros(2, 9)), dict(net.state_dict())
        copy = ws.act(ws.sample(spec, seed, max_scale=2.0), cast(params, torch.float64), spec)
        for name, value in copy.items():
            step = (
                value.abs().amax(1, keepdim=True) / 127 if by_channel and value.dim() > 1 else value.abs().max() / 127
            )
            copy[name] = ((value / step).round() * step).float() if value.dim() > 1 else value.float()
        assert ws.same(params, copy, spec, bits=8)
        assert not ws.same(params, copy, spec)
        assert not ws.same(params, copy, spec, bits=4)
        wrong = copy | {"2.weight": copy["2.weight"].roll(1, 0)}
        assert not ws.same(params, wrong, spec, bits=8)


def test_bits_allow_nothing_for_weights_that_lie_on_no_grid() -> None:
    net = network(nn.ReLU, 0)
    spec, params = ws.derive(net, torch.zeros(2, 9)), dict(net.state_dict())
    near = params | {"2.weight": params["2.weight"] * (1 + 1e-3 * torch.randn(7, 12))}
    assert not ws.same(params, near, spec, bits=8)
    with pytest.raises(ws.ConfigError, match="bits is 1; grids of 2 to 16 bits are known"):
        ws.same(params, near, spec, bits=1)


def test_stacks_and_values_that_are_no_finite_real_numbers_are_refused() -> None:
    net = network(nn.Tanh, 2)
    spec, params = ws.derive(net, torch.zeros(2, 9)), dict(net.state_dict())
    infinite, imaginary = (params | {"0.bias": params["0.bias"] * factor} for factor in (torch.inf, 1 + 1j))
    with pytest.raises(ws.SpecMismatch, match=r"'0.bias' of the second network holds values that are not finite"):
        ws.same(params, infinite, spec)
    with pytest.raises(ws.SpecMismatch, match="the first argument stacks several networks"):
        ws.same(ws.gauge.stack([params, params]), params, spec)
    for wrong, message in ((infinite, "not finite"), (imaginary, r"'0.bias' is complex")):
        with pytest.raises(ws.SpecMismatch, match=message):
            ws.fingerprint(wrong, spec)
        with pytest.raises(ws.SpecMismatch, match=message):
            ws.gauge.canonicalize(wrong, spec)
        with pytest.raises(ws.SpecMismatch, match=message):
            ws.gauge.same_pairs([params, wrong], [(0, 1)], spec)
        with pytest.raises(ws.SpecMismatch, match=message):
            ws.align(params, wrong, spec)
    with pytest.raises(ws.SpecMismatch, match=r"'0.bias' is complex"):
        ws.act(ws.identity(spec), imaginary, spec)


ONE_HIDDEN = ws.parse(
    "in[4] fixed\nh0[5] positive\nout[3] fixed\n\n0.weight h0 in~\n0.bias h0\n2.weight out h0~\n2.bias out"
)


def wide_network() -> dict[str, Tensor]:
    return {name: torch.randn(ONE_HIDDEN.shape(name), dtype=torch.float64) for name in ONE_HIDDEN.axes}


@pytest.mark.parametrize("size", [1e160, 1e290, 1e-200])
def test_a_scale_beyond_the_squares_of_numbers_is_one_gauge_among_others(size: float) -> None:
    a = wide_network()
    b = a | {"0.weight": size * a["0.weight"], "0.bias": size * a["0.bias"], "2.weight": a["2.weight"] / size}
    for one, other in ((a, b), (b, a)):
        found = ws.same(one, other, ONE_HIDDEN)
        assert found
        assert found.distance < 1e-12
        assert ws.align(one, other, ONE_HIDDEN).distance < 1e-12
    assert not any(dead.any() for dead in ws.gauge.canonicalize(b, ONE_HIDDEN)[2].dead.values())
    torch.testing.assert_close(ws.fingerprint(a, ONE_HIDDEN).vector, ws.fingerprint(b, ONE_HIDDEN).vector)
    wrong = b | {"2.bias": 2 * b["2.bias"]}
    assert not ws.same(a, wrong, ONE_HIDDEN)


def test_small_networks_are_found_where_a_scale_makes_a_layer_smaller_still() -> None:
    a = wide_network()
    a |= {name: 1e-100 * a[name] for name in ("0.weight", "0.bias", "2.weight")}
    b = a | {name: 1e-100 * a[name] for name in ("0.weight", "0.bias")} | {"2.weight": 1e100 * a["2.weight"]}
    assert ws.same(a, b, ONE_HIDDEN)
    assert ws.align(a, b, ONE_HIDDEN).distance < 1e-12
    assert ws.same(a, {name: 2 * value for name, value in a.items()}, ONE_HIDDEN).distance == pytest.approx(0.5, 0.2)


def test_a_canonical_network_stays_to_the_bit_beside_a_huge_one() -> None:
    own, _, _ = ws.gauge.canonicalize(wide_network(), ONE_HIDDEN, scale="balanced")
    huge = own | {"0.weight": 1e250 * own["0.weight"], "0.bias": 1e250 * own["0.bias"]}
    both = {name: torch.stack([own[name], huge[name]]) for name in own}
    found, _, _ = ws.gauge.canonicalize(both, ONE_HIDDEN, scale="balanced")
    assert all(torch.equal(found[name][0], own[name]) for name in own)


@pytest.mark.parametrize("size", [1e-20, 1e-35, 1e35])
def test_networks_of_very_different_size_are_told_apart(size: float) -> None:
    a = {name: value.float() for name, value in wide_network().items()}
    b = {name: size * value for name, value in a.items()}
    assert not ws.same(a, b, ONE_HIDDEN)
    assert not ws.same(b, a, ONE_HIDDEN)
    assert 0.1 < float(ws.align(a, b, ONE_HIDDEN).distance) / max(1.0, size) < 1.1


def test_copies_in_whole_numbers_are_one_network_to_all_that_compare() -> None:
    a = {name: (100 * value).round().to(torch.int32) for name, value in wide_network().items()}
    b = a | {name: a[name][[3, 1, 4, 0, 2]] for name in ("0.weight", "0.bias")}
    b["2.weight"] = a["2.weight"][:, [3, 1, 4, 0, 2]]
    assert ws.same(a, b, ONE_HIDDEN)
    assert float(same_pairs([a, b], [(0, 1)], ONE_HIDDEN)) <= LIMIT
