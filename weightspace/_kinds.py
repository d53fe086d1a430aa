"""Configurations that come in kinds: the kind names the module in which its class stands.

Whoever adds a kind adds a module; no list has to be told. A kind of somebody else's package is written
``package.module:Class``.
"""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from ._errors import ConfigError
from ._frozen import Frozen

T = TypeVar("T", bound="Kinded")


class Kinded(Frozen):
    """A configuration with a ``kind``.

    Attributes:
        kinds: Package whose public modules are the kinds.
        noun: What one of them is called in messages.
        kind: Name of the module of the class, or ``package.module:Class``.
    """

    kinds: ClassVar[str]
    noun: ClassVar[str]
    kind: Any

    @classmethod
    def names(cls) -> list[str]:
        """Kinds that ship with the library."""
        package = importlib.import_module(cls.kinds)
        found = (module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))
        return sorted(name for name in found if cls._in(f"{cls.kinds}.{name}") is not None)

    @classmethod
    def of(cls: type[T], kind: str) -> type[T]:
        """The class of a kind.

        Raises:
            ConfigError: with the closest kind if there is none of that name.
        """
        found = cls._found(kind)
        if isinstance(found, type) and issubclass(found, cls) and not inspect.isabstract(found):
            return found
        close = difflib.get_close_matches(kind, [*cls.names(), *cls._beside(kind)], n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise ConfigError(
            f"unknown {cls.noun} {kind!r}. {hint}Choose one of {', '.join(cls.names())}, or write package.module:Class."
        )

    @classmethod
    def _found(cls, kind: str) -> object:
        """What stands where the kind says, if anything does."""
        where, _, name = kind.partition(":")
        if not name:
            try:
                return cls._in(f"{cls.kinds}.{kind}")
            except ImportError:
                return None
        try:
            return getattr(importlib.import_module(where), name, None)
        except (ImportError, TypeError, ValueError) as error:  # the last two for names like ".module" and ""
            raise ConfigError(
                f"the {cls.noun} {kind!r} cannot be imported ({error}). Run the command in the folder of the module "
                f"{where!r}, or put that folder into PYTHONPATH."
            ) from error

    @classmethod
    def _beside(cls, kind: str) -> list[str]:
        """Kinds in the same module of somebody else's package, which can be imported."""
        where, _, name = kind.partition(":")
        classes = vars(importlib.import_module(where)).items() if name else ()
        return [
            f"{where}:{name}"
            for name, value in classes
            if isinstance(value, type) and issubclass(value, cls) and not inspect.isabstract(value)
        ]

    @classmethod
    def _in(cls: type[T], module: str) -> type[T] | None:
        """The class of this kind in a module of the library."""
        names = vars(importlib.import_module(module)).values()
        own = (value for value in names if isinstance(value, type) and issubclass(value, cls))
        return next((value for value in own if value.model_fields["kind"].default == module.rpartition(".")[2]), None)

    @classmethod
    def read(cls, value: Any) -> Any:
        """The configuration written as plain data, by its ``kind``; a configuration stays as it is.

        Raises:
            ConfigError: for an unknown kind, or data without one.
        """
        if not isinstance(value, Mapping):
            return value
        if not isinstance(value.get("kind"), str):
            raise ConfigError(f"a {cls.noun} needs its kind. Write kind: {' or '.join(cls.names())}.")
        return cls.of(value["kind"]).model_validate(value)
