"""``package.module:factory``: the user's own function, found by its name."""

import importlib
import sys
from collections.abc import Callable
from typing import Any

from ._errors import ConfigError


def load_factory(text: str, option: str = "--model") -> Callable[..., Any]:
    """The function that ``package.module:factory`` names; modules of the current folder are found too.

    Raises:
        ConfigError: if the text has another form, the module cannot be imported or has no such function.
    """
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise ConfigError(
            f"{option} {text!r} does not name a function. Write package.module:factory, e.g. my_nets:make"
        )
    if module.endswith(".py"):
        name_of = module.removesuffix(".py").rpartition("/")
        where = f"go to {name_of[0]} and write" if name_of[0] else "write"
        raise ConfigError(f"{option} {text!r} names a file. Name the module: {where} {option} {name_of[2]}:{name}")
    if sys.path[0] != "":
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        raise ConfigError(
            f"{option} {text}: importing {module!r} fails ({type(error).__name__}: {error}). "
            f"Try it in the same folder: python -c 'import {module}'"
        ) from error
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        functions = sorted(key for key, value in vars(found).items() if callable(value) and key[:1] != "_")
        raise ConfigError(
            f"{option} {text}: {module!r} has no {name!r}. It has: {', '.join(functions[:12]) or 'no functions'}."
        ) from None
    if not callable(found):
        raise ConfigError(f"{option} {text}: {name!r} is {type(found).__name__}, not a function. Name the function.")
    return found
