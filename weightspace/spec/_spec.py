"""The one noun of the library: which neuron space, and which power of its scale, acts on each parameter axis.

A network's hidden neurons may be permuted, and each may be rescaled by the numbers its activation lets pass,
without changing the function: the fan-in of neuron ``i`` is multiplied by ``s_i`` and its fan-out by ``1/s_i``.
A :class:`SymmetrySpec` writes this down for every axis of every parameter, as plain text and frozen data; it
holds no tensors.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, final

from torch import Tensor

from .._errors import SpecError, SpecMismatch
from ._axis import Axis, Joined

ScaleName = Literal["trivial", "sign", "positive", "nonzero"]
"""Scale groups by name: {1}, {-1, 1}, (0, inf) and all nonzero reals (identity activations)."""

_MOST_NEURONS = 1 << 24
_MOST_ENTRIES = 1 << 48
_LARGEST_POWER = 64
"""Sizes above these belong to no network: index tables and products of them fit into no memory and no number."""


@final
@dataclass(frozen=True)
class NeuronSpace:
    """Units that are permuted together, and the scale group each of them carries.

    ``fixed`` spaces (inputs, outputs) are touched by neither; a free space with the ``trivial`` group is
    permuted only.

    Attributes:
        like: A space that has the same permutation; this one only adds scales of its own (the features before
            and after a batch normalization).
        within: A space whose neurons own equal blocks of consecutive neurons here: blocks move with their owner
            and every block is permuted inside (heads and their coordinates).
        along: A space whose neurons say the place inside the block: the blocks are not permuted inside on their
            own (attention heads that share the learned gains of their coordinates).
        ordered: The neurons keep their places (inside their block) and are only rescaled.
    """

    name: str
    size: int
    scale: ScaleName = "trivial"
    fixed: bool = False
    like: str | None = None
    within: str | None = None
    along: str | None = None
    ordered: bool = False

    def __str__(self) -> str:
        if self.fixed:
            return f"{self.name}[{self.size}]"
        moved = [] if self.ordered or self.size == 1 else [f"like {self.like}" if self.like else f"S{self.size}"]
        if self.within and not self.like:
            moved = [f"within {self.within}", *([f"along {self.along}"] if self.along else [])]
        group = [] if self.scale == "trivial" else [self.scale]
        return f"{self.name}[{self.size}] {' x '.join(moved + group)}".rstrip()


@final
@dataclass(frozen=True)
class SymmetrySpec:
    """The symmetry of one architecture: prints as text, parses back, hashes and compares.

    Attributes:
        spaces: Neuron spaces in the order in which the forward pass meets them; a space that another one names
            (``like``, ``within``) comes first.
        params: ``(name, axes)`` for every entry of the ``state_dict``, in its order.
        unproven: Why the symmetry was never tried on a network, if it was derived and not tried. It is no part of
            the symmetry: specs that differ in it alone are equal.

    Raises:
        SpecError: if an axis or space names an unknown space, two have one name, or sizes do not fit together.
    """

    spaces: tuple[NeuronSpace, ...]
    params: tuple[tuple[str, tuple[Axis | Joined, ...]], ...]
    unproven: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.unproven != " ".join(self.unproven.split()):
            raise SpecError(f"why a spec is unproven must be one line, got {self.unproven!r:.100}. Write it as one.")
        if len(self.space) != len(self.spaces):
            names = [space.name for space in self.spaces]
            raise SpecError(f"neuron spaces must have different names, got {names}. Rename one of them.")
        if len(self.axes) != len(self.params):
            names = [name for name, _ in self.params]
            raise SpecError(f"parameters must have different names, got {names}. Remove the repeated line.")
        seen: set[str] = set()
        for space in self.spaces:
            self._check_space(space, seen)
            seen.add(space.name)
        for name, axes in self.params:
            for axis in axes:
                for part in axis.parts:
                    self._check_part(name, part)
            if math.prod(self.shape(name)) > _MOST_ENTRIES:
                raise SpecError(f"parameter {name!r} would fit into no memory. Correct the sizes of its axes.")

    def _check_space(self, space: NeuronSpace, seen: set[str]) -> None:
        if not 1 <= space.size <= _MOST_NEURONS:
            raise SpecError(
                f"space {space.name!r} has {space.size} neurons. Give it a size from 1 to {_MOST_NEURONS:,}."
            )
        for word, other in (("like", space.like), ("within", space.within), ("along", space.along)):
            if other is None:
                continue
            if other not in seen:
                raise SpecError(
                    f"space {space.name!r} is {word} {other!r}, which is not among the spaces before it "
                    f"({', '.join(sorted(seen)) or 'none'}). Write the line of {other!r} above it."
                )
            size = self.space[other].size
            if (space.size % size and word != "along") or (word == "like" and space.size != size):
                raise SpecError(
                    f"space {space.name!r} has {space.size} neurons and is {word} {other!r}, which has {size}. "
                    + ("Give both one size." if word == "like" else f"Give it a multiple of {size}.")
                )
        if space.along and not space.within:
            raise SpecError(
                f"space {space.name!r} is along {space.along!r} within no other. Write 'within NAME' as well."
            )
        if space.like and self.space[space.like].fixed and not space.fixed:
            raise SpecError(
                f"space {space.name!r} is like {space.like!r}, which is fixed and has no permutation to share. Write "
                f"'ordered' instead of 'like {space.like}' for neurons that only have scales."
            )
        if space.like and (space.within or self.space[space.like].like):
            raise SpecError(
                f"space {space.name!r} takes its permutation from {space.like!r}, so it has no blocks of its own and "
                f"{space.like!r} must have a permutation of its own. Name the space that has it."
            )

    def _check_part(self, name: str, part: Axis) -> None:
        powers = [part.power, *(scale.power for scale in part.scales)]
        if max(map(abs, powers)) > _LARGEST_POWER:
            raise SpecError(
                f"parameter {name!r} has an axis of power {max(powers, key=abs)}. Powers go up to {_LARGEST_POWER}."
            )
        named = [part.space, part.over, *(scale.space for scale in part.scales)]
        for space in named:
            if space is not None and space not in self.space:
                raise SpecError(
                    f"parameter {name!r} has an axis of space {space!r}, which is not among the spaces "
                    f"{sorted(self.space)}. Add a line '{space}[SIZE] fixed' to the spaces."
                )
        if part.space is None:
            return
        lines = self.ancestors(part.space)
        for other in named[1:]:
            if other is not None and self.space[other].size > 1 and self.root(other) not in lines:
                raise SpecError(
                    f"parameter {name!r} has an axis of space {part.space!r} that names {other!r}, which is neither "
                    f"like it nor around it. Write 'like' or 'within' in the line of {part.space!r}, or drop it."
                )
        if part.index is not None and not all(0 <= i < self.space[part.space].size for i in part.index):
            raise SpecError(f"parameter {name!r} lists neurons that {self.space[part.space]} does not have.")

    @cached_property
    def axes(self) -> dict[str, tuple[Axis | Joined, ...]]:
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

    def root(self, name: str) -> str:
        """The space that holds the permutation of the named space: itself, or the one it is like."""
        return self.space[name].like or name

    def ancestors(self, name: str) -> tuple[str, ...]:
        """The space that holds the named space's permutation, the one around it, and so on outwards."""
        found = [self.root(name)]
        while (around := self.space[found[-1]].within) is not None:
            found.append(self.root(around))
        return tuple(found)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the named parameter."""
        return tuple(sum(map(self.length, axis.parts)) for axis in self.axes[name])

    def plain_axes(self, name: str) -> tuple[Axis, ...]:
        """Axes of the named parameter, each of one space, power and repeat.

        Raises:
            SpecError: if an axis says more (joined spaces, several scales, blocks).
        """
        plain = tuple(axis for axis in self.axes[name] if isinstance(axis, Axis) and axis.plain)
        if len(plain) < len(self.axes[name]):
            raise SpecError(
                f"parameter {name!r} has an axis that joins spaces, multiplies scales or reads a block, which is not "
                "read here. Pin its spaces: write them as fixed in the spec."
            )
        return plain

    def length(self, part: Axis) -> int:
        """Number of entries of one part of an axis."""
        if part.space is None:
            return part.repeat
        if part.index is not None:
            return len(part.index)
        size = self.space[part.space].size
        return part.times * part.repeat * (size if part.over is None else size // self.space[part.over].size)

    def check(self, params: Mapping[str, Tensor]) -> int | None:
        """The number of stacked networks in ``params``, or ``None`` for a single network.

        Raises:
            SpecMismatch: at the first parameter whose name or shape differs from the spec, or that is complex.
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
            if params[name].is_complex():
                raise SpecMismatch(
                    f"parameter {name!r} is complex ({params[name].dtype}), and scales and signs here are real. "
                    f"Complex networks are not supported; if all its imaginary parts are 0, take params[{name!r}].real"
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

    def check_values(self, params: Mapping[str, Tensor], of: str = "") -> int | None:
        """What :meth:`check` says, once every entry is known to be a finite real number.

        Args:
            params: One network or stacked networks.
            of: Whose parameters they are, for the message: ``"the second network"``.

        Raises:
            SpecMismatch: at the first parameter that does not fit, or holds NaN, infinity, or no values (meta device).
        """
        stacked = self.check(params)
        for name in self.axes:
            value, named = params[name].detach(), f"parameter {name!r}" + (f" of {of}" if of else "")
            if value.is_meta:
                raise SpecMismatch(f"{named} is on the meta device and holds no values. Load them first.")
            if not value.is_floating_point():
                continue
            value = value.float() if value.itemsize == 1 else value  # torch asks this of no 8-bit float
            if count := int((~value.isfinite()).sum()):
                what = "NaN" if bool(value.isnan().any()) else "infinity"
                raise SpecMismatch(
                    f"{named} holds values that are not finite ({what}; {count} of {value.numel()}). "
                    "Its network has diverged or is damaged; leave it out."
                )
        return stacked

    def __str__(self) -> str:
        return " | ".join(map(str, self.spaces)) + (f" (not proven: {self.unproven})" if self.unproven else "")

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
