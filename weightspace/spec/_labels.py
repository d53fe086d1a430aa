"""Specs whose axes are labelled otherwise."""

from collections.abc import Callable
from dataclasses import replace

from ._axis import Axis, Joined
from ._spec import SymmetrySpec


def relabeled(spec: SymmetrySpec, change: Callable[[Axis], Axis]) -> SymmetrySpec:
    """The spec with every label, or part of a joined one, changed."""

    def axis(label: Axis | Joined) -> Axis | Joined:
        return Joined(tuple(map(change, label.parts))) if isinstance(label, Joined) else change(label)

    return replace(spec, params=tuple((name, tuple(map(axis, axes))) for name, axes in spec.params))


def linear_part(spec: SymmetrySpec) -> SymmetrySpec:
    """The same scales without offsets: how differences of parameters move."""
    return relabeled(spec, lambda part: replace(part, offset=0.0))
