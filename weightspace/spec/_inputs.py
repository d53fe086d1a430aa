"""What a network is called with, and which tensors of what it returns are its outputs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, final

from torch import Tensor, nn

from .._errors import SpecError

Example = Tensor | tuple[Any, ...] | dict[str, Any]
"""Inputs of a network: a tensor, a tuple of tensors, keyword arguments, or a tuple that ends with keyword arguments."""

_OWN_STATE = "past_key_values"
"""The entry under which language models return what only their own next call reads."""


@final
@dataclass(frozen=True, eq=False)
class Inputs:
    """Arguments of a network's forward.

    Attributes:
        args: By position.
        words: By keyword: tensors, and settings of forward (``use_cache=False``).
    """

    args: tuple[Tensor, ...] = ()
    words: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, example: object) -> "Inputs":
        """The arguments that an :data:`Example` stands for.

        Raises:
            SpecError: if it is none.
        """
        parts: tuple[Any, ...] = example if isinstance(example, tuple) else (example,)
        words, args = (parts[-1], parts[:-1]) if parts and isinstance(parts[-1], Mapping) else ({}, parts)
        tensors = [value for value in words.values() if isinstance(value, Tensor)]
        settings = [value for value in words.values() if not isinstance(value, Tensor)]
        if (
            not (args or tensors)
            or not all(isinstance(arg, Tensor) for arg in args)
            or not all(isinstance(name, str) for name in words)
            or not all(value is None or isinstance(value, bool | int | float | str) for value in settings)
        ):
            raise SpecError(
                f"the example must be a tensor, a tuple of tensors or a dict of keyword arguments, got "
                f"{_describe(example)}. Type: ws.derive(net, torch.randn(2, 64)), with the shape your network reads, "
                'or ws.derive(net, {"input_ids": torch.zeros(2, 16, dtype=torch.long)}).'
            )
        return cls(args, dict(words))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors among the arguments, those by position first."""
        return (*self.args, *(value for value in self.keywords.values() if isinstance(value, Tensor)))

    @property
    def keywords(self) -> dict[str, Any]:
        """The arguments by keyword, in a dict of their own."""
        return dict(self.words or {})

    @property
    def shapes(self) -> str:
        """The shapes in words, for messages."""
        named = {name: value for name, value in self.keywords.items() if isinstance(value, Tensor)}
        here = [str(list(arg.shape)) for arg in self.args]
        return ", ".join([*here, *(f"{name}={list(value.shape)}" for name, value in named.items())])

    def map(self, change: Callable[[Tensor], Tensor]) -> "Inputs":
        """The arguments with every tensor changed."""
        words = {name: change(value) if isinstance(value, Tensor) else value for name, value in self.keywords.items()}
        return Inputs(tuple(change(arg) for arg in self.args), words)

    @property
    def example(self) -> tuple[Any, ...]:
        """The arguments as an :data:`Example`."""
        return (*self.args, self.keywords) if self.words else self.args

    def call(self, module: nn.Module) -> object:
        """What the module returns, called with copies of the arguments (a forward pass may write into them)."""
        fresh = self.map(Tensor.clone)
        return module(*fresh.args, **fresh.keywords)


def outputs_of(result: object) -> Iterator[Tensor]:
    """The tensors in what a network returns, however nested (tuples, dicts, dataclasses), in a fixed order.

    What a language model returns for its own next call is no output: the entry ``past_key_values``, and objects of
    other kinds, such as caches. A head that moves takes its cached keys with it, and no reader of the outputs can tell.
    """
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, Mapping):
        yield from outputs_of([value for name, value in result.items() if name != _OWN_STATE])
    elif isinstance(result, list | tuple):
        names = getattr(result, "_fields", [""] * len(result))  # of a named tuple
        for name, value in zip(names, result, strict=True):
            if name != _OWN_STATE:
                yield from outputs_of(value)
    elif is_dataclass(result) and not isinstance(result, type):
        yield from outputs_of({entry.name: getattr(result, entry.name) for entry in fields(result)})


def _describe(example: object) -> str:
    if isinstance(example, tuple):
        return f"a tuple of {', '.join(type(arg).__name__ for arg in example)}" if example else "an empty tuple"
    if isinstance(example, Mapping):
        kinds = ", ".join(f"{name}: {type(value).__name__}" for name, value in example.items())
        return f"a dict of {kinds}"[:120] if example else "an empty dict"
    return f"{type(example).__name__} {example!r}"[:80]
