"""Query heads that share keys and values: groups change places, and so do the heads inside a group."""

import pytest
import torch
from torch import Tensor, nn

import weightspace as ws

from .attention import GroupedQueries, Residual
from .transformers import RotaryGrouped, SwiGLU

WAYS = ("expand", "repeat", "sdpa", "matmul")


def network(inner: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 6), Residual(inner, nn.RMSNorm(6)), nn.Linear(6, 2)).double()


def example() -> Tensor:
    return torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def blocks(weight: Tensor, order: list[int], dim: int) -> Tensor:
    """The weight with its equal blocks along ``dim`` in another order."""
    parts = weight.chunk(len(order), dim)
    return torch.cat([parts[place] for place in order], dim)


def swapped(params: dict[str, Tensor], heads: list[int], groups: list[int]) -> dict[str, Tensor]:
    orders = {"q.weight": (heads, 0), "o.weight": (heads, 1), "k.weight": (groups, 0), "v.weight": (groups, 0)}
    return params | {f"1.inner.{name}": blocks(params[f"1.inner.{name}"], *order) for name, order in orders.items()}


@pytest.mark.parametrize(
    ("way", "shared", "heads", "groups"),
    [
        *(pytest.param(way, 2, [3, 2, 0, 1], [1, 0], id=f"groups and heads, {way}") for way in WAYS),
        pytest.param("repeat", 2, [1, 0, 2, 3], [0, 1], id="heads of a group"),
        pytest.param("sdpa", 1, [2, 0, 3, 1], [0], id="four heads on one"),
        pytest.param("expand", 4, [3, 0, 1, 2], [3, 0, 1, 2], id="four heads on four"),
    ],
)
def test_planted_swaps_of_heads_and_of_groups_are_undone(
    way: str, shared: int, heads: list[int], groups: list[int]
) -> None:
    torch.manual_seed(0)
    net = network(GroupedQueries(6, 4, shared, 2, way))
    params = {name: value.detach() for name, value in net.state_dict().items()}
    other = swapped(params, heads, groups)
    assert ws.same_function(net, other, example()) <= 1e-12
    spec = ws.derive(net, example())
    assert ws.same(params, other, spec)
    assert ws.align(params, other, spec).distance <= 1e-12


def test_heads_of_different_groups_do_not_change_places() -> None:
    torch.manual_seed(0)
    net = network(GroupedQueries(6, 4, 2, 2, "repeat"))
    params = {name: value.detach() for name, value in net.state_dict().items()}
    crossed = swapped(params, [2, 1, 0, 3], [0, 1])
    assert ws.same_function(net, crossed, example()) > 1e-3
    assert not ws.same(params, crossed, ws.derive(net, example()))


@pytest.mark.parametrize("way", WAYS)
def test_spaces_do_not_grow_with_heads_groups_or_width(way: str) -> None:
    def spaces(heads: int, shared: int, width: int) -> int:
        return len(ws.spec.derive(network(GroupedQueries(6, heads, shared, width, way)), example()).spaces)

    assert {spaces(4, 2, 2), spaces(6, 3, 3), spaces(8, 2, 2)} == {9}
    assert spaces(4, 1, 2) == spaces(6, 1, 3) == 8


def test_a_llama_layer_has_the_same_spaces_whatever_its_heads() -> None:
    """Turned queries and keys move in pairs of coordinates, which keep their order and have one scale each."""
    found = []
    for heads, shared, width in ((4, 2, 4), (8, 2, 4), (6, 3, 8), (4, 1, 4)):
        layer = nn.Sequential(
            Residual(RotaryGrouped(6, heads, shared, width), nn.RMSNorm(6)), Residual(SwiGLU(6, 7, nn.SiLU()))
        )
        net = nn.Sequential(nn.Linear(3, 6), layer, nn.Linear(6, 2)).double()
        spec = ws.derive(net, example())
        turned = next(axes[0] for name, axes in spec.params if name.endswith("0.inner.q.weight"))
        assert spec.space[turned.parts[0].space].size == heads * width // 2
        found.append(len(spec.spaces))
    assert set(found[:3]) == {10}
    assert found[3] == 9  # one group takes no space


def test_heads_with_normalized_and_turned_queries_keep_their_permutations() -> None:
    """Qwen 3: the gains of a pair of coordinates move together, and the heads share them."""
    found = []
    for heads, shared in ((4, 2), (6, 3), (4, 4), (6, 6)):
        inner = RotaryGrouped(6, heads, shared, 4, norm=True)
        with torch.no_grad():
            for norm in (inner.q_norm, inner.k_norm):
                norm.weight.copy_(torch.tensor([0.5, 0.8, 1.3, 1.7]))
        net = network(inner)
        spec = ws.derive(net, example())
        found.append(len(spec.spaces))
        params = {name: value.detach() for name, value in net.state_dict().items()}
        order = [*range(1, shared), 0]
        each = heads // shared
        other = swapped(params, [group * each + k for group in order for k in range(each)], order)
        assert ws.same_function(net, other, example()) <= 1e-12
        assert ws.same(params, other, spec)
    assert found[0] == found[1]
    assert found[2] == found[3]
