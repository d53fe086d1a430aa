"""How the parameters of a spec hang together: weights join two spaces, biases belong to one.

Pure data, read off the axes: a *weight* has one axis with power 1 (its fan-in side, the target space) and one
with power -1 (its fan-out side, the source space); a *bias* has one axis with power 1; what no space touches
(a frequency buffer, say) is *rest*.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import final

from .._errors import SpecError
from ._axis import Axis
from ._spec import SymmetrySpec
from ._text import axis_text


@final
@dataclass(frozen=True)
class Weight:
    """A parameter that connects the ``source`` space to the ``target`` space with ``width`` numbers per pair."""

    name: str
    source: str
    target: str
    source_dim: int
    target_dim: int
    width: int


@final
@dataclass(frozen=True)
class Bias:
    """A parameter with ``width`` numbers per neuron of ``space``."""

    name: str
    space: str
    dim: int
    width: int


@final
@dataclass(frozen=True)
class Layout:
    """Weights, biases and untouched parameters of a spec, each in ``state_dict`` order."""

    weights: tuple[Weight, ...]
    biases: tuple[Bias, ...]
    rest: tuple[str, ...]

    def into(self, space: str) -> tuple[Weight, ...]:
        """Weights whose target is ``space`` (its fan-in)."""
        return tuple(weight for weight in self.weights if weight.target == space)

    def out_of(self, space: str) -> tuple[Weight, ...]:
        """Weights whose source is ``space`` (its fan-out)."""
        return tuple(weight for weight in self.weights if weight.source == space)

    def biases_of(self, space: str) -> tuple[Bias, ...]:
        """Biases of ``space``."""
        return tuple(bias for bias in self.biases if bias.space == space)


@lru_cache(maxsize=256)
def layout(spec: SymmetrySpec) -> Layout:
    """The weights and biases of ``spec``.

    Raises:
        SpecError: for a parameter that is neither (two fan-in axes, a squared scale, joined spaces), by name.
    """
    weights: list[Weight] = []
    biases: list[Bias] = []
    rest: list[str] = []
    for name, labels in spec.params:
        axes = [axis for axis in labels if isinstance(axis, Axis) and axis.plain and not _is_bound(spec, axis)]
        if len(axes) < len(labels):
            raise _not_dense(name, f"has the label {' '.join(map(axis_text, labels))!r}")
        acted = [(dim, axis) for dim, axis in enumerate(axes) if axis.space is not None]
        width = 1
        for axis in axes:
            width *= axis.repeat
        powers = sorted(axis.power for _, axis in acted)
        if not acted:
            rest.append(name)
        elif powers == [1]:
            ((dim, axis),) = acted
            biases.append(Bias(name, str(axis.space), dim, width))
        elif powers == [-1, 1]:
            (source_dim, source), (target_dim, target) = sorted(acted, key=lambda item: item[1].power)
            weights.append(Weight(name, str(source.space), str(target.space), source_dim, target_dim, width))
        else:
            raise _not_dense(name, f"has powers {powers} of neuron spaces")
    return Layout(tuple(weights), tuple(biases), tuple(rest))


def _is_bound(spec: SymmetrySpec, axis: Axis) -> bool:
    """Whether the permutation of the axis' space depends on another one's."""
    space = None if axis.space is None else spec.space[axis.space]
    return space is not None and not space.fixed and bool(space.like or space.within or space.ordered)


def _not_dense(name: str, what: str) -> SpecError:
    return SpecError(
        f"parameter {name!r} {what}; the dense view reads weights (one fan-in axis 'h1', one fan-out axis 'h0~') and "
        "biases (one axis 'h1'). Pin its spaces: write them as fixed in the spec."
    )
