"""What every target owes zoos, tasks and verbs: one class of tests, one short subclass per target."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import pytest
import torch
import yaml
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.func import functional_call

from weightspace.gauge import act, derive, sample
from weightspace.spec import to_text
from weightspace.zoo import ActivationName, AnyTarget, Target

NUM, INPUTS = 3, 4
EXACT = 1e-12
ANY: TypeAdapter[Target] = TypeAdapter(AnyTarget)


class TargetSuite:
    """The tests.

    Attributes:
        target: A small one.
        activation: What files of it say of its hidden units, if shapes and this word are enough to know it again.
        other: Shapes of another architecture that are alike, to be refused.
        unseen: Fields that shapes do not show.
    """

    target: ClassVar[Target]
    activation: ClassVar[ActivationName | None]
    other: ClassVar[Target]
    unseen: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def networks(self) -> tuple[list[nn.Module], dict[str, Tensor]]:
        """Modules in float64 and eval mode, with running statistics of some training, and their stacked entries."""
        torch.manual_seed(0)
        nets = [self.target.build().double().eval() for _ in range(NUM)]
        for net in nets:
            for name, value in net.named_buffers():
                if value.is_floating_point():
                    value.copy_(torch.rand_like(value) + 0.5 if name.endswith("var") else 0.1 * torch.randn_like(value))
        return nets, {name: torch.stack([net.state_dict()[name] for net in nets]) for name in nets[0].state_dict()}

    def inputs(self, *lead: int) -> Tensor:
        """Flattened inputs."""
        return torch.randn(*lead, self.target.sizes[0], dtype=torch.float64)

    def alone(self, net: nn.Module, x: Tensor) -> Tensor:
        """Outputs of a module on flattened inputs."""
        with torch.no_grad():
            return net(x.unflatten(-1, self.target.example().shape[1:]))

    def test_a_stack_computes_what_the_modules_do_one_by_one(self):
        nets, params = self.networks()
        shared, own = self.inputs(INPUTS), self.inputs(NUM, INPUTS)
        for x in (shared, own):
            together = self.target.forward(params, x)
            assert together.shape == (NUM, INPUTS, self.target.sizes[1])
            for index, net in enumerate(nets):
                want = self.alone(net, x if x.dim() == 2 else x[index])
                assert (together[index] - want).abs().max() <= EXACT * want.abs().max()
        assert (together[0] - together[1]).abs().max() > 1e-3

    def test_example_and_sizes_fit_the_module(self):
        example = self.target.example()
        assert example.shape[0] == 1
        assert example[0].numel() == self.target.sizes[0]
        assert self.target.build().eval()(example).shape == (1, self.target.sizes[1])

    def test_shapes_are_those_of_the_state_and_training_changes_its_parameters(self):
        net = self.target.build()
        shapes = self.target.shapes()
        assert list(shapes.items()) == [(name, tuple(value.shape)) for name, value in net.state_dict().items()]
        assert self.target.trained() == tuple(name for name, _ in net.named_parameters())
        assert set(self.target.trained()) <= set(shapes)

    def test_its_own_shapes_are_recognized_and_others_are_not(self):
        kind, shapes = type(self.target), self.target.shapes()
        if self.activation is None:
            assert kind.of_shapes(shapes, "tanh") is None
            return
        assert kind.of_shapes(shapes, self.activation) == self.target.model_copy(update=self.unseen)
        first, *_ = shapes
        wrong = [
            self.other.shapes(),
            {},
            dict(list(shapes.items())[:-1]),
            shapes | {"more": (1,)},
            shapes | {first: (*shapes[first], 1)},
            shapes | {first: (shapes[first][0] + 1, *shapes[first][1:])},
        ]
        for others in wrong:
            assert kind.of_shapes(others, self.activation) is None

    def test_its_text_brings_it_back_by_its_kind(self):
        text = yaml.safe_dump(self.target.model_dump(mode="json"))
        assert ANY.validate_python(yaml.safe_load(text)) == self.target
        with pytest.raises(ValidationError, match="colour"):
            ANY.validate_python(self.target.model_dump() | {"colour": 1})

    def test_its_symmetry_is_derived_and_keeps_what_it_computes(self):
        spec = derive(self.target.build(), self.target.example())
        _, params = self.networks()
        assert spec.check(params) == NUM
        assert list(spec.axes) == list(self.target.shapes())
        assert to_text(spec) == to_text(derive(self.target.build(), self.target.example()))
        x = self.inputs(INPUTS)
        here = self.target.forward(params, x)
        there = self.target.forward(act(sample(spec, 0, num=NUM), params, spec), x)
        assert (here - there).abs().max() <= 1e-9 * (here - here.roll(1, 0)).abs().max()
        assert any(not space.fixed and space.size > 1 for space in spec.spaces)

    def test_everything_but_counts_has_a_gradient_running_statistics_included(self):
        _, params = self.networks()
        leaves = {name: value.requires_grad_() for name, value in params.items() if value.is_floating_point()}
        (self.target.forward(params | leaves, self.inputs(INPUTS)).exp().sum()).backward()
        for name, value in leaves.items():
            assert value.grad is not None, name
            assert value.grad.isfinite().all(), name
            assert value.grad.any(), name

    def test_gradients_of_what_is_trained_are_finite_and_those_of_autograd(self):
        nets, params = self.networks()
        leaves = {name: params[name].clone().requires_grad_() for name in self.target.trained()}
        x = self.inputs(INPUTS)
        self.target.forward(params | leaves, x).square().sum().backward()
        one = {name: params[name][1].clone().requires_grad_() for name in leaves}
        shaped = x.unflatten(-1, self.target.example().shape[1:])
        functional_call(nets[1], one, (shaped,)).square().sum().backward()
        for name, value in leaves.items():
            assert value.grad is not None
            assert value.grad.isfinite().all(), name
            torch.testing.assert_close(value.grad[1], one[name].grad, rtol=1e-9, atol=1e-12)
        assert any(bool(value.grad.any()) for value in leaves.values() if value.grad is not None)
