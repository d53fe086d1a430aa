"""The table of rules, and what many of them do."""

from collections.abc import Callable

from ._value import Value
from ._walk import Rule, Walk

RULES: dict[str, Rule] = {}
"""Rules by operator name (without the trailing underscore of the in-place form)."""


def rule(names: str) -> Callable[[Rule], Rule]:
    """Registers a rule under operator names."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names.split(), function))
        return function

    return register


def made(walk: Walk, weight: Value, dim: int) -> None:
    """Notes that a layer makes the neurons along axis ``dim`` of its weight."""
    walk.store.made.update(int(label.ids.flat[0]) for label in weight.fields if weight.param and label.at(dim))


def maybe(walk: Walk, arg: object) -> Value | None:
    return None if arg is None else walk.value(arg)
