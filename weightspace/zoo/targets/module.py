"""Anybody's module as a target: a factory named by its text, and the shape of an input."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, final

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from ..._errors import ConfigError
from ..._factory import load_factory
from ._target import AbstractTarget
from .activations import ActivationName


@final
class ModuleTarget(AbstractTarget):
    """Configuration of networks that somebody's own function makes; the function is imported when one is built."""

    kind: Literal["module"] = "module"
    factory: str = Field(description="package.module:factory, called without arguments.")
    input: tuple[int, ...] = Field(description="Shape of an input, its first axis counts inputs.")
    integers: bool = Field(default=False, description="Whether inputs are whole numbers, e.g. tokens.")

    # Somebody's function may read files, or numbers of its own parameters.
    bare: ClassVar[bool] = False

    @field_validator("input")
    @classmethod
    def _with_axes(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) < 2 or min(shape) < 1:
            raise ValueError(f"an input has a leading axis for several of them and one more, e.g. 2,3, got {shape}")
        return shape

    def build(self) -> nn.Module:
        """The module that the factory makes.

        Raises:
            ConfigError: if it cannot be imported, fails or makes something else.
        """
        factory = load_factory(self.factory)
        try:
            made: Any = factory()
        except Exception as error:
            raise ConfigError(
                f"the function {self.factory} of these networks fails ({type(error).__name__}: {error}). It is called "
                "without arguments and returns a torch module."
            ) from error
        module = made[0] if isinstance(made, tuple) and made else made
        if not isinstance(module, nn.Module):
            raise ConfigError(
                f"the function {self.factory} of these networks returns {type(module).__name__}. Return a "
                "torch.nn.Module."
            )
        return module

    def example(self) -> Tensor:
        """One input."""
        return torch.zeros(1, *self.input[1:], dtype=torch.long if self.integers else torch.float32)

    @property
    def nonlinearity(self) -> str:
        """Name of the factory, which alone knows what happens to a pre-activation."""
        return self.factory

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers that go in and out; out is the last axis of what the module returns."""
        example = self.example()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return example[0].numel(), self.build().eval()(example).shape[-1]

    @classmethod
    def of_shapes(cls, shapes: Mapping[str, tuple[int, ...]], activation: ActivationName) -> Self | None:
        """None: shapes do not name a function."""
        del shapes, activation
        return None
