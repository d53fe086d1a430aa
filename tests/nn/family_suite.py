"""What every family of metanetworks owes the tasks that train it: one class of tests, one short subclass per family.

A law that a family claims must hold, and one that it does not claim must be broken: a suite that only asks for the
first would pass a family that ignores its input, or claims too little.
"""

import json
import re
from typing import ClassVar, Literal

import pytest
import torch
import yaml
from metanets import awkward, double, gauges, mlp, row
from torch import Tensor, nn

from weightspace import ConfigError, SpecMismatch
from weightspace.nn import AbstractFamily, AbstractFunctional, AbstractOperator, Architecture
from weightspace.spec import SymmetrySpec
from weightspace.testing import Params, equivariance_error, invariance_error, random_params

Law = Literal["permutation", "sign", "positive"]
Model = AbstractFunctional | AbstractOperator

OUT = 3
EXACT = {"permutation": 1e-12, "sign": 1e-12, "positive": 1e-10}
"""Tolerances in float64, relative to the spread; positive scales are rounded on the way."""
SPREAD, BROKEN = 1e-2, 1e-3

every_law = pytest.mark.parametrize("law", EXACT)


class FamilySuite:
    """The tests. A subclass says what its family is and, with the reason in words, what it has not.

    Attributes:
        family: A small configuration.
        laws: What its metanetworks respect; every other law has to be broken.
        specs: Architectures to read, by the law they are about: alike but for their scale groups.
        no_functional: Why there is none, as a regular expression of the error that says so.
        no_operator: The same for operators.
        one_group: The law whose spec is the only one that the family can read (it is built for one scale group).
        idle: Names of learned numbers that nothing depends on, as a regular expression; the reason stands beside it.
        least_change: Of every parameter at initialization, relative to it; smaller where a family starts small.
        largest: Numbers up to which float32 has room for what is computed.
    """

    family: ClassVar[AbstractFamily]
    laws: ClassVar[frozenset[Law]]
    specs: ClassVar[dict[Law, SymmetrySpec]] = {
        "permutation": mlp("trivial"),
        "sign": mlp("sign"),
        "positive": mlp("positive"),
    }
    no_functional: ClassVar[str] = ""
    no_operator: ClassVar[str] = ""
    one_group: ClassVar[Law | None] = None
    idle: ClassVar[str] = "(?!)"
    least_change: ClassVar[float] = 1e-3
    largest: ClassVar[float] = 1e18

    def architecture(self, spec: SymmetrySpec) -> Architecture:
        """What is known of networks of a spec; a family that runs them adds a module."""
        return Architecture(spec)

    def spec(self, law: Law) -> SymmetrySpec:
        """The spec that a metanetwork is built for when a law is put to it."""
        return self.specs[self.one_group or law]

    def functional(self, law: Law, family: AbstractFamily | None = None, *, seed: int = 0) -> AbstractFunctional:
        """A functional in float64 and eval mode."""
        torch.manual_seed(seed)
        return (family or self.family).functional(self.architecture(self.spec(law)), OUT).double().eval()

    def operator(self, law: Law, family: AbstractFamily | None = None, *, seed: int = 0) -> AbstractOperator:
        """An operator in float64 and eval mode."""
        torch.manual_seed(seed)
        return (family or self.family).operator(self.architecture(self.spec(law))).double().eval()

    def models(self, law: Law, *, seed: int = 0) -> list[Model]:
        """Those that the family has."""
        found: list[Model] = [] if self.no_functional else [self.functional(law, seed=seed)]
        return found if self.no_operator else [*found, self.operator(law, seed=seed)]

    def some_law(self) -> Law:
        """One that the family claims, if any."""
        order: tuple[Law, ...] = ("positive", "sign", "permutation")
        for law in order:
            if law in self.laws:
                return law
        return "permutation"

    def readable(self) -> list[Law]:
        """The laws by whose specs the specs can be named that the family reads."""
        return [self.one_group] if self.one_group else list(self.specs)

    def errors(self, law: Law, family: AbstractFamily | None = None) -> list[float]:
        """How much each metanetwork of a family breaks a law, relative to what it does."""
        spec, found = self.specs[law], []
        params = double(spec, 4)
        if not self.no_functional:
            error, spread = invariance_error(self.functional(law, family), spec, params, gauges(spec, 4))
            found.append(error / spread)
        if not self.no_operator:
            found.append(equivariance_error(self.operator(law, family), spec, params, gauges(spec, 4))[0])
        return found

    @pytest.mark.parametrize("text", [json, yaml], ids=["json", "yaml"])
    def test_a_configuration_is_read_back_from_its_text(self, text):
        plain = self.family.model_dump(mode="json")
        written = text.dumps(plain) if text is json else text.safe_dump(plain)
        assert AbstractFamily.read(json.loads(written) if text is json else yaml.safe_load(written)) == self.family
        assert AbstractFamily.of(self.family.kind) is type(self.family)
        assert self.family.kind in AbstractFamily.names()

    @every_law
    def test_claimed_laws_hold_and_the_others_are_broken(self, law):
        errors = self.errors(law)
        assert errors
        if law in self.laws:
            assert max(errors) <= EXACT[law]
        else:
            assert min(errors) > BROKEN

    def test_a_functional_returns_vectors_that_depend_on_the_network(self):
        for law in self.readable():
            if self.no_functional:
                with pytest.raises(ConfigError, match=self.no_functional):
                    self.functional(law)
                continue
            with torch.no_grad():
                found = self.functional(law)(double(self.spec(law), 5))
            assert found.shape == (5, OUT)
            assert (found - found.roll(1, 0)).abs().amax() > SPREAD * found.abs().amax()

    def test_an_operator_changes_every_parameter_and_no_shape(self):
        for law in self.readable():
            if self.no_operator:
                with pytest.raises(ConfigError, match=self.no_operator):
                    self.operator(law)
                continue
            operator, params = self.operator(law), double(self.spec(law), 4)
            with torch.no_grad():
                new, delta = operator(params), operator.delta(params)
            assert list(new) == list(delta) == list(params)
            for name, value in params.items():
                assert new[name].shape == delta[name].shape == value.shape
                assert delta[name].abs().amax() > self.least_change * value.abs().amax(), name
                torch.testing.assert_close(new[name], value + delta[name])

    def test_every_learned_number_has_a_gradient(self):
        law = self.some_law()
        for model in self.models(law):
            model.float()
            total(model, random_params(self.spec(law), 4)).backward()
            for name, value in model.named_parameters():
                assert alive(value.grad) != bool(re.search(self.idle, name)), f"{type(model).__name__}: {name}"

    def test_awkward_networks_give_finite_outputs_and_gradients(self):
        law = self.some_law()
        params = awkward(self.spec(law), torch.float32)
        size = torch.stack([value.flatten(1).abs().amax(1) for value in params.values()]).amax(0)
        params = {name: value[size < self.largest] for name, value in params.items()}
        for model in self.models(law):
            found = outputs(model.float(), params)
            assert all(value.isfinite().all() for value in found)
            torch.stack([level(value).sum() for value in found]).sum().backward()
            grads = [value.grad for value in model.parameters() if value.grad is not None]
            assert all(value.isfinite().all() for value in grads)

    def test_networks_of_a_stack_do_not_interact(self):
        law = self.some_law()
        params = double(self.spec(law), 3)
        for model in self.models(law):
            with torch.no_grad():
                together, alone = outputs(model, params), outputs(model, row(params, 1))
            for one, many in zip(alone, together, strict=True):
                torch.testing.assert_close(one, many[1:2], rtol=0.0, atol=1e-12 * float(many.abs().max()))

    def test_the_meta_device_is_followed(self):
        law = self.some_law()
        params = {name: value.to("meta") for name, value in double(self.spec(law), 2).items()}
        for model in self.models(law):
            assert all(value.is_meta for value in outputs(model.to("meta"), params))

    def test_automatic_bf16_stays_finite(self):
        law = self.some_law()
        params = random_params(self.spec(law), 3)
        for model in self.models(law):
            with torch.autocast("cpu", torch.bfloat16):
                found = outputs(model.float(), params)
            assert all(value.isfinite().all() for value in found)

    def test_networks_that_do_not_fit_are_refused(self):
        law = self.some_law()
        params = double(self.spec(law), 2)
        single = {name: value[0] for name, value in params.items()}
        single_precision = {name: value.float() for name, value in params.items()}
        missing = dict(list(params.items())[:-1])
        for model in self.models(law):
            for bad, message in ((single, "[Ss]tack"), (single_precision, "float32"), (missing, "missing")):
                with pytest.raises(SpecMismatch, match=message):
                    outputs(model, bad)

    def test_a_twin_is_the_same_thing_without_a_law(self):
        for name, twin in self.family.twins().items():
            assert twin != self.family, name
            assert type(twin) is type(self.family)
            assert max(error for law in self.laws for error in self.errors(law, twin)) > BROKEN, name

    def test_saved_numbers_give_the_same_outputs(self):
        law = self.some_law()
        params = double(self.spec(law), 2)
        for trained, fresh in zip(self.models(law), self.models(law, seed=1), strict=True):
            with torch.no_grad():
                want, other = outputs(trained, params), outputs(fresh, params)
                assert any(not torch.equal(a, b) for a, b in zip(want, other, strict=True))
                fresh.load_state_dict(trained.state_dict())
                assert all(torch.equal(a, b) for a, b in zip(want, outputs(fresh, params), strict=True))


def outputs(model: nn.Module, params: Params) -> list[Tensor]:
    """Of a functional its vectors, of an operator the changes."""
    return [*model.delta(params).values()] if isinstance(model, AbstractOperator) else [model(params)]


def total(model: nn.Module, params: Params) -> Tensor:
    """A number that depends on every output."""
    generator = torch.Generator().manual_seed(0)
    return torch.stack([(x * torch.randn(x.shape, generator=generator)).sum() for x in outputs(model, params)]).sum()


def level(x: Tensor) -> Tensor:
    """Numbers of one size for every network; an operator's changes are as large or small as its network is."""
    size = x.detach().flatten(1).abs().amax(1, keepdim=True)
    return x.flatten(1) / size.where(size > 0, 1.0)


def alive(grad: Tensor | None) -> bool:
    """Whether a gradient is there, finite, and not zero everywhere."""
    return grad is not None and bool(grad.isfinite().all()) and bool(grad.any())
