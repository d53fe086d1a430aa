"""``package.module:factory`` or ``path/file.py:factory``: the user's own function, found by its name."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._errors import ConfigError


def load_factory(text: str, option: str = "--model") -> Callable[..., Any]:
    """The function that ``package.module:factory`` or ``path/file.py:factory`` names.

    Modules of the current folder are found too, and beside a file those of its folder.

    Raises:
        ConfigError: if the text has another form, the module cannot be imported or has no such function.
    """
    module, colon, name = text.rpartition(":")
    if not (module and colon and name):
        raise ConfigError(
            f"{option} {text!r} does not name a function. Write package.module:factory, e.g. my_nets:make"
        )
    folder = ""
    if module.endswith(".py"):
        file = Path(module)
        if not file.is_file():
            raise ConfigError(f"{option} {text}: the file {module} does not exist. Check its name.")
        folder, module = str(file.parent.resolve()), file.stem
    if sys.path[0] != folder:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        raise ConfigError(
            f"{option} {text}: importing {module!r} fails ({type(error).__name__}: {error}). "
            f"Try it in {folder or 'the same folder'}: python -c 'import {module}'"
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
