"""Keyword inputs, outputs in structures, caches: what a network takes and returns may have any form."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from language_models import LanguageModel, make
from torch import Tensor, nn

import weightspace as ws
from weightspace.spec import Inputs, outputs_of, untouched

TOKENS = torch.arange(10).reshape(2, 5)
FORMS: dict[str, Any] = {
    "by position": TOKENS,
    "by keyword": {"input_ids": TOKENS},
    "with labels": {"input_ids": TOKENS, "labels": TOKENS},
    "position and keyword": (TOKENS, {"labels": TOKENS}),
    "settings": {"input_ids": TOKENS, "use_cache": False},
    "as a tuple": {"input_ids": TOKENS, "return_dict": False},
}


def moved(net: nn.Module, spec: ws.SymmetrySpec, example: Any, seed: int = 0) -> float:
    params = ws.act(ws.sample(spec, seed), net.state_dict(), spec)
    return ws.same_function(net, params, example)


@pytest.mark.parametrize("form", FORMS)
def test_a_language_model_as_shipped_has_the_symmetry_of_its_logits(form: str) -> None:
    net = make().double()
    spec = ws.derive(net, FORMS[form])
    # The stream, two heads, coordinates of queries and of values inside them, the MLP.
    assert [space.size for space in spec.free if not space.like] == [8, 2, 8, 8, 12]
    assert moved(net, spec, FORMS[form]) < 1e-12


def test_a_cache_under_its_name_is_no_output_whatever_it_is_made_of() -> None:
    net = LanguageModel(tuple).double()
    assert ws.derive(net, TOKENS) == ws.derive(make(), TOKENS)
    params = dict(net.state_dict())
    params["blocks.0.k.weight"] = -params["blocks.0.k.weight"]
    params["blocks.0.q.weight"] = -params["blocks.0.q.weight"]
    assert ws.same_function(net, params, TOKENS) == 0


def test_hidden_states_that_are_returned_are_outputs() -> None:
    net = make().double()
    example = {"input_ids": TOKENS, "output_hidden_states": True}
    spec = ws.derive(net, example)
    assert [space.size for space in spec.free if not (space.like or space.ordered)] == [2, 8, 8, 12]
    assert moved(net, spec, example) < 1e-12
    assert moved(net, ws.derive(net, TOKENS), example) > 1e-3


def test_all_tensors_in_an_output_count_and_nothing_is_no_answer() -> None:
    a, b = torch.ones(2), torch.arange(3)
    assert [id(x) for x in outputs_of({"x": (a, [b]), "past_key_values": a})] == [id(a), id(b)]

    class Nothing(nn.Linear):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            super().forward(x)
            return {}

    net = Nothing(3, 2)
    with pytest.raises(ws.SpecMismatch, match="Nothing returns no tensors"):
        ws.same_function(net, net, torch.zeros(1, 3))


def test_inputs_keep_their_form_when_they_are_changed() -> None:
    inputs = Inputs.of((TOKENS, {"labels": TOKENS, "use_cache": False}))
    args, words = inputs.map(lambda x: x + 1).example
    assert torch.equal(args, TOKENS + 1)
    assert torch.equal(words["labels"], TOKENS + 1)
    assert words["use_cache"] is False
    assert inputs.shapes == "[2, 5], labels=[2, 5]"


class Biased(nn.Module):
    """Attention whose biases are looked up once and kept, as LeViT keeps them; ``keep`` says where."""

    def __init__(self, keep: Callable[["Biased", Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)
        self.table = nn.Parameter(torch.randn(4))
        self.kept: dict[str, Tensor] = {}
        self.one: Tensor | None = None
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)) * self.keep(self, self.table.exp()))


class Emptied(Biased):
    """Its caches are emptied by ``train``, and only there."""

    def train(self, mode: bool = True) -> "Emptied":
        super().train(mode)
        if mode:
            self.kept, self.one = {}, None
        return self


def in_a_dict(net: Biased, value: Tensor) -> Tensor:
    return net.kept.setdefault("cpu", value)


def in_an_attribute(net: Biased, value: Tensor) -> Tensor:
    net.one = value if net.one is None else net.one
    return net.one


@pytest.mark.parametrize("keep", [in_a_dict, in_an_attribute])
@pytest.mark.parametrize("kind", [Biased, Emptied])
@pytest.mark.parametrize("called", [None, True, False])
def test_what_forward_keeps_for_the_next_call_is_not_compared(
    kind: type[Biased], keep: Any, called: bool | None
) -> None:
    net, x = kind(keep).double(), torch.randn(5, 3).double()
    if called is not None:
        with torch.set_grad_enabled(called):  # with gradients: what it keeps then cannot be copied
            net.eval()(x)
    before = copy.copy(net.kept), net.one
    spec = ws.derive(net, x)
    assert [space.size for space in spec.free] == [4]
    params = ws.act(ws.sample(spec, seed=1), net.state_dict(), spec)
    assert ws.same_function(net, params, x) < 1e-12
    other = params | {"table": -params["table"]}
    assert ws.same_function(net, other, x) > 1e-3
    assert ws.same(net.state_dict(), other, spec, module=net, example=x).verdict is ws.gauge.Verdict.DIFFERENT
    # Nothing was kept that was not there before, and no tensor without numbers.
    assert net.kept.keys() == before[0].keys()
    assert net.one is before[1]


class Kept(Biased):
    """Beside a cache, tensors that are none; ``use`` says which forward reads."""

    def __init__(self, use: Callable[["Kept", Tensor], Tensor]) -> None:
        super().__init__(in_a_dict)
        self.factor = torch.tensor(3.0)
        self.shift: Tensor | None = torch.tensor([1.0, 1.0, 2.0, 3.0])
        self.shared = self.same = {"ones": torch.ones(3)}
        self.use = use

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.use(self, torch.tanh(self.first(x * self.shared["ones"]))) * self.factor)


def with_a_default(net: Kept, h: Tensor) -> Tensor:
    net.shift = torch.zeros(4) if net.shift is None else net.shift
    return h + net.shift


def with_a_state(net: Kept, h: Tensor) -> Tensor:
    h = h + net.shift
    net.shift = h[0]
    return h


def with_a_cache(net: Kept, h: Tensor) -> Tensor:
    return h * in_a_dict(net, net.table.exp())


@pytest.mark.parametrize("called", [False, True])
@pytest.mark.parametrize(("use", "permuted"), [(with_a_default, False), (with_a_state, False), (with_a_cache, True)])
def test_tensors_that_somebody_has_set_are_no_caches(use: Any, permuted: bool, called: bool) -> None:
    net, x = Kept(use).eval(), torch.randn(5, 3)
    if called and permuted:
        with torch.no_grad():
            net(x)
    state = net.state_dict()
    before = copy.copy(vars(net)), copy.copy(net.kept), torch.get_rng_state()
    spec = ws.derive(net, x)
    assert any(space.size == 4 for space in spec.free) is permuted
    assert ws.same_function(net, ws.act(ws.sample(spec, seed=1), state, spec), x) < 1e-5
    assert (ws.same_function(net, state | {"table": -state["table"]}, x) > 1e-3) is permuted
    assert vars(net) == before[0]
    assert net.kept.keys() == before[1].keys()
    assert torch.equal(torch.get_rng_state(), before[2])


def test_a_module_is_left_in_the_modes_it_had() -> None:
    net = nn.Sequential(nn.Dropout(), nn.Linear(3, 2)).train()
    net[1].eval()
    with untouched(net) as quiet:
        assert not any(part.training for part in quiet.modules())
    assert [part.training for part in net.modules()] == [True, True, False]
