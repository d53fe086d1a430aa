"""The table of rules, and what many of them do."""

from collections.abc import Callable
from dataclasses import replace

from .._values import Call
from ._value import Value
from ._walk import Result, Rule, Walk

RULES: dict[str, Rule] = {}
"""Rules by operator name (without the trailing underscore of the in-place form)."""


def rule(names: str, *, entrywise: bool = False) -> Callable[[Rule], Rule]:
    """Registers a rule under operator names; of all but entry-wise ones, it is not known where the result is even."""

    def register(function: Rule) -> Rule:
        def uneven(walk: Walk, call: Call) -> Result:
            result = function(walk, call)
            if isinstance(result, Value):
                return replace(result, even=frozenset())
            return tuple(replace(part, even=frozenset()) for part in result)

        RULES.update(dict.fromkeys(names.split(), function if entrywise else uneven))
        return function

    return register


def made(walk: Walk, weight: Value, dim: int) -> None:
    """Notes that a layer makes the neurons along axis ``dim`` of its weight."""
    walk.store.made.update(int(label.ids.flat[0]) for label in weight.fields if weight.param and label.at(dim))


def maybe(walk: Walk, arg: object) -> Value | None:
    return None if arg is None else walk.value(arg)
