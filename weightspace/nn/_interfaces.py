"""What every family of metanetworks offers, so that a task can train any of them.

A *functional* reads networks and returns vectors, an *operator* reads networks and returns networks. A *family* is the
configuration of both: data that says how large they are, and builds them for the networks of a spec.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from jaxtyping import Float
from torch import Tensor, nn

from .._errors import ConfigError
from .._kinds import Kinded
from .._types import Params
from ..spec import SymmetrySpec


@final
@dataclass(frozen=True, eq=False)
class Architecture:
    """What a metanetwork knows beforehand of the networks it reads.

    Attributes:
        spec: Their symmetry.
        module: One of them, in eval mode, if they can be run; its own parameters are not used.
        example: One input of it, with a leading axis of 1.
    """

    spec: SymmetrySpec
    module: nn.Module | None = None
    example: Tensor | None = None


class AbstractFunctional(nn.Module, ABC):
    """A vector per network, the same for every network of an orbit.

    Attributes:
        spec: Architecture of the networks read.
    """

    spec: SymmetrySpec

    @abstractmethod
    def forward(self, params: Mapping[str, Tensor]) -> Float[Tensor, "b o"]:
        """The vectors of stacked networks (``dict`` of name to ``[b, *shape]``).

        Raises:
            SpecMismatch: if the parameters do not fit the spec, are not stacked, or are of another number type.
        """


class AbstractOperator(nn.Module, ABC):
    """New parameters for every network; they move with the gauge as the old ones do.

    Attributes:
        spec: Architecture of the networks read and written.
    """

    spec: SymmetrySpec

    @abstractmethod
    def delta(self, params: Mapping[str, Tensor]) -> Params:
        """The changes alone, stacked as the parameters are.

        Raises:
            SpecMismatch: if the parameters do not fit the spec, are not stacked, or are of another number type.
        """

    def forward(self, params: Mapping[str, Tensor]) -> Params:
        """The stacked networks (``dict`` of name to ``[b, *shape]``) with their changes added."""
        return {name: params[name] + change for name, change in self.delta(params).items()}


class AbstractFamily(Kinded, ABC):
    """Size and symmetry of a metanetwork; told from others by its ``kind``, the name of its package in ``nn``.

    A family that runs the networks it reads needs a module of theirs; to the others the spec is enough.
    """

    kinds: ClassVar[str] = "weightspace.nn"
    noun: ClassVar[str] = "family of metanetworks"

    @property
    def needs_module(self) -> bool:
        """Whether a metanetwork of this configuration runs the networks it reads."""
        return False

    @abstractmethod
    def functional(self, architecture: Architecture, out: int) -> AbstractFunctional:
        """An untrained functional with ``out`` numbers per network.

        Raises:
            SpecError: if the family cannot read these networks, by name of what it cannot read.
            ConfigError: if it needs a module and got none.
        """

    def operator(self, architecture: Architecture) -> AbstractOperator:
        """An untrained operator; a family of functionals alone leaves this out.

        Raises:
            SpecError: if the family cannot read these networks, by name of what it cannot read.
            ConfigError: if it needs a module and got none, or has no operators.
        """
        del architecture
        raise ConfigError(
            f"the family {self.kind!r} reads networks and changes none: it has no operators. Take one that has, e.g. "
            "--model.kind scale."
        )

    def twins(self) -> "dict[str, AbstractFamily]":
        """Controls that are trained beside it, by name: the same parts without the symmetry that it is to prove."""
        return {}
