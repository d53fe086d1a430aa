"""Types and shapes of the first calls of every function, checked anew in each file of tests.

Checking every call doubles the time of the suite, and a function that the tests of one file have called ten times
with the shapes that its annotations say will say nothing new at the next thousand.
"""

import sys
import typing
from collections import Counter
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from beartype import beartype

MOST = 20
"""Checks of one function in one file of tests; a call has two, of its arguments and of what it returns."""

MADE = 6
"""The same, of a function inside another one, which is checked whenever it is made."""

_checks: Counter[tuple[str, str]] = Counter()
_unchecked: list[Any] = []


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with its types checked; what jaxtyping puts around all of the package."""
    place = function.__module__, function.__qualname__
    if any("Self" in repr(hint) for hint in getattr(function, "__annotations__", {}).values()):
        return function  # the checker reads Self inside a class that it checks as a whole, and nowhere else
    if "<locals>" in place[1]:  # made anew at every call of the function around it
        _checks[place] += 1
        return function if _checks[place] > MADE else beartype(function)
    typed: list[Callable[..., Any]] = []

    @wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        if not typed:
            typed.append(beartype(function))  # most functions that are imported are never called
        _checks[place] += 1
        if _checks[place] == MOST:
            for layer in _layers(*place):
                _unchecked.append(typing.no_type_check(layer))
        return typed[0](*args, **kwargs)

    return counted


def check_again() -> None:
    """Count from the beginning: called before the first test of every file."""
    for layer in _unchecked:
        del layer.__no_type_check__
    _unchecked.clear()
    _checks.clear()


def _layers(module: str, name: str) -> Iterator[Any]:
    """The function of that name, and what it wraps."""
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    found = getattr(found, "__func__", getattr(found, "fget", found))  # static and class methods, properties
    while callable(found) and not isinstance(found, type) and hasattr(found, "__dict__"):
        if "__no_type_check__" not in vars(found):
            yield found
        found = vars(found).get("__wrapped__")
