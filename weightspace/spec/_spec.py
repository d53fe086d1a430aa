"""The one noun of the library: which neuron space, and which power of its scale, acts on each parameter axis.

A network's hidden neurons may be permuted, and each may be rescaled by the numbers its activation lets pass,
without changing the function: the fan-in of neuron ``i`` is multiplied by ``s_i`` and its fan-out by ``1/s_i``.
A :class:`SymmetrySpec` writes this down for every axis of every parameter, as plain text and frozen data; it
holds no tensors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

from torch import Tensor

from .._errors import SpecError, SpecMismatch

ScaleName = Literal["trivial", "sign", "positive", "nonzero"]
"""Scale groups by name: {1}, {-1, 1}, (0, inf) and all nonzero reals (identity activations)."""


@final
@dataclass(frozen=True)
class NeuronSpace:
    """Units that are permuted together, and the scale group each of them carries.

    ``fixed`` spaces (inputs, outputs) are touched by neither; a free space with the ``trivial`` group is
    permuted only.
    """

    name: str
    size: int
    scale: ScaleName = "trivial"
    fixed: bool = False

    def __str__(self) -> str:
        if self.fixed:
            return f"{self.name}[{self.size}]"
        group = "" if self.scale == "trivial" else f" x {self.scale}"
        return f"{self.name}[{self.size}] S{self.size}{group}"


@final
@dataclass(frozen=True)
class Axis:
    """Label of one parameter axis: a neuron space, the power of its scale, and how many entries each neuron owns.

    ``repeat`` is the number of consecutive entries per neuron (the spatial positions of a flattened feature
    map). An axis that nothing acts on has ``space=None`` and ``power=0``; its size is ``repeat``.
    """

    space: str | None
    power: int = 1
    repeat: int = 1


@final
@dataclass(frozen=True)
class SymmetrySpec:
    """The symmetry of one architecture: prints as text, parses back, hashes and compares.

    Attributes:
        spaces: Neuron spaces in the order in which the forward pass meets them.
        params: ``(name, axes)`` for every entry of the ``state_dict``, in its order.

    Raises:
        SpecError: if an axis names an unknown space, or two spaces share a name.
    """

    spaces: tuple[NeuronSpace, ...]
    params: tuple[tuple[str, tuple[Axis, ...]], ...]

    def __post_init__(self) -> None:
        known = {space.name for space in self.spaces}
        if len(known) != len(self.spaces):
            names = [space.name for space in self.spaces]
            raise SpecError(f"neuron spaces must have different names, got {names}. Rename one of them.")
        if len(self.axes) != len(self.params):
            names = [name for name, _ in self.params]
            raise SpecError(f"parameters must have different names, got {names}. Remove the repeated line.")
        for name, axes in self.params:
            for axis in axes:
                if axis.space is not None and axis.space not in known:
                    raise SpecError(
                        f"parameter {name!r} has an axis of space {axis.space!r}, which is not among the spaces "
                        f"{sorted(known)}. Add a line '{axis.space}[SIZE] fixed' to the spaces."
                    )

    @cached_property
    def axes(self) -> dict[str, tuple[Axis, ...]]:
        """Axes by parameter name."""
        return dict(self.params)

    @cached_property
    def space(self) -> dict[str, NeuronSpace]:
        """Spaces by name."""
        return {space.name: space for space in self.spaces}

    @cached_property
    def free(self) -> tuple[NeuronSpace, ...]:
        """Spaces on which the gauge acts."""
        return tuple(space for space in self.spaces if not space.fixed)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the named parameter."""
        return tuple(
            axis.repeat * (self.space[axis.space].size if axis.space is not None else 1) for axis in self.axes[name]
        )

    def check(self, params: Mapping[str, Tensor]) -> int | None:
        """The number of stacked networks in ``params``, or ``None`` for a single network.

        Raises:
            SpecMismatch: at the first parameter whose name or shape differs from the spec.
        """
        for name in params:
            if name not in self.axes:
                raise SpecMismatch(
                    f"parameter {name!r} is not part of this architecture ({self}). "
                    f"Its parameters are: {', '.join(self.axes)}."
                )
        stacked: int | None = None
        for index, name in enumerate(self.axes):
            if name not in params:
                raise SpecMismatch(
                    f"parameter {name!r} is missing; this architecture is {self}. "
                    f"Got only: {', '.join(params) or 'nothing'}."
                )
            want, have = self.shape(name), tuple(params[name].shape)
            lead = have[: len(have) - len(want)]
            if have[len(lead) :] != want or len(lead) > 1:
                raise SpecMismatch(
                    f"parameter {name!r} has shape {list(have)}, this architecture ({self}) needs {list(want)} "
                    f"or [b, {', '.join(map(str, want))}] for b stacked networks."
                )
            num = lead[0] if lead else None
            if index and num != stacked:
                raise SpecMismatch(
                    f"parameter {name!r} stacks {num or 'no'} networks, the ones before it {stacked or 'no'}. "
                    "Stack all parameters over the same networks, e.g. torch.stack per name."
                )
            stacked = num
        return stacked

    def __str__(self) -> str:
        return " | ".join(map(str, self.spaces))

    def __repr__(self) -> str:
        return f"SymmetrySpec({self})"


def num_parameters(spec: SymmetrySpec, names: Iterable[str] | None = None) -> int:
    """Number of scalars in a network of this spec (of the named parameters only, if given)."""
    total = 0
    for name in spec.axes if names is None else names:
        count = 1
        for size in spec.shape(name):
            count *= size
        total += count
    return total
