"""A family of metanetworks as its tests see it: what it claims, what it has not, and how it is built."""

from typing import ClassVar, Literal

import torch
from metanets import double, gauges, mlp
from torch import Tensor, nn

from weightspace.nn import AbstractFamily, AbstractFunctional, AbstractOperator, Architecture
from weightspace.spec import SymmetrySpec
from weightspace.testing import Params, equivariance_error, invariance_error

Law = Literal["permutation", "sign", "positive"]
Model = AbstractFunctional | AbstractOperator

OUT = 3
EXACT: dict[Law, float] = {"permutation": 1e-12, "sign": 1e-12, "positive": 1e-10}
"""Tolerances in float64, relative to the spread; positive scales are rounded on the way."""


class FamilyCase:
    """A subclass says what its family is and, with the reason in words, what it has not.

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
