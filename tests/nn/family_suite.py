"""What every family of metanetworks owes the tasks that train it: one class of tests, one short subclass per family.

A law that a family claims must hold, and one that it does not claim must be broken: a suite that only asks for the
first would pass a family that ignores its input, or claims too little.
"""

import json
import re

import pytest
import torch
import yaml
from family_case import EXACT, OUT, FamilyCase, alive, level, outputs, total
from metanets import awkward, double, row

from weightspace import ConfigError, SpecMismatch
from weightspace.nn import AbstractFamily
from weightspace.testing import random_params

SPREAD, BROKEN = 1e-2, 1e-3


class FamilySuite(FamilyCase):
    """The tests; what a subclass may say of its family stands in :class:`FamilyCase`."""

    @pytest.mark.parametrize("text", [json, yaml], ids=["json", "yaml"])
    def test_a_configuration_is_read_back_from_its_text(self, text):
        plain = self.family.model_dump(mode="json")
        written = text.dumps(plain) if text is json else text.safe_dump(plain)
        assert AbstractFamily.read(json.loads(written) if text is json else yaml.safe_load(written)) == self.family
        assert AbstractFamily.of(self.family.kind) is type(self.family)
        assert self.family.kind in AbstractFamily.names()

    @pytest.mark.parametrize("law", EXACT)
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
