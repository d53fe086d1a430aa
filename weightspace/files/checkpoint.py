"""The one reader of networks: a file of any format, shards with an index, or a folder of either; read piece by piece.

Formats are in :mod:`weightspace.files.formats`, the index of shards in :mod:`weightspace.files.shards`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from .._errors import ConfigError, SpecMismatch
from .._types import Params
from ..spec import SymmetrySpec
from . import naming, shards
from .folder import network_at
from .formats import Contents, Stored, read_file

ACTIVATION = "activation"
"""Metadata entry of a safetensors file: the hidden activation, which the weights alone do not show."""

PIECE = 1 << 18
"""Entries that are read, converted or compared at a time: of networks of any size no whole tensor is in memory."""

_EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2)

_SHORT = 512
"""Bytes of a row below which a tensor is read at once."""


@final
@dataclass(frozen=True)
class Part:
    """One file of a checkpoint: its name, its metadata, and its tensors under the names it uses."""

    file: str
    metadata: dict[str, str]
    names: tuple[str, ...]


@final
@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What the headers of a checkpoint say; tensors are read one at a time, or in pieces.

    Attributes:
        path: The file, or the folder of the index.
        parts: Its files.
        stored: By plain name, the name in the file: wrappers (parallel and compiled modules, a module that holds the
            network) put words before names, and a tensor that a module has under two names may be there once.
        tensors: By name in the file.
        left_out: Entries of the file that are no tensors of the network.
        exported: By name in the file, what the exporter called the tensor, if names say its place in the computation.
        branch: Why these names do not say which tensor is which; empty if they do.
        index: Name of the index, if there is one.
        about: Its metadata.
        numbers: Plain numbers that a torch file holds beside the tensors.
    """

    path: Path
    parts: tuple[Part, ...]
    stored: dict[str, str]
    tensors: dict[str, Stored]
    left_out: tuple[str, ...] = ()
    exported: Mapping[str, str] | None = None
    branch: str = ""
    index: str | None = None
    about: Mapping[str, Any] | None = None
    numbers: Mapping[str, int | float] = field(default_factory=dict)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """By plain name."""
        return {name: self.tensors[stored].shape for name, stored in self.stored.items()}

    @cached_property
    def dtypes(self) -> dict[str, torch.dtype]:
        """By plain name."""
        return {name: self.tensors[stored].dtype for name, stored in self.stored.items()}

    def read(self, name: str) -> Tensor:
        """The tensor with the given plain name; not to be changed in place.

        Raises:
            ConfigError: if its file cannot be read (any more).
            SpecMismatch: if an entry is not finite.
        """
        return self.entries(name, 0, math.prod(self.shapes[name])).view(self.shapes[name])

    def rows(self, name: str, index: Int[Tensor, " r"]) -> Tensor:
        """Rows of a tensor, in the order of the index; raises as :meth:`read` does."""
        shape = self.shapes[name]
        row = math.prod(shape[1:])
        # Small ones are read at once: a piece of a file for each row would take longer.
        if row * shape[0] <= PIECE or row * self.dtypes[name].itemsize < _SHORT:
            return self.read(name)[index]
        return self._spans(name, [place * row for place in index.tolist()], row).view(-1, *shape[1:])

    def entries(self, name: str, start: int, stop: int) -> Tensor:
        """Entries of a tensor by their place in it, as a vector; raises as :meth:`read` does."""
        return self._spans(name, [start], stop - start)[0]

    def _spans(self, name: str, starts: Sequence[int], length: int) -> Shaped[Tensor, "s l"]:
        """As many entries from each of the places."""
        value = self.tensors[self.stored[name]].spans(starts, length)
        if not is_finite(value):
            raise SpecMismatch(
                f"{self.path}: parameter {name!r} holds values that are not finite numbers (NaN or infinity). "
                "Leave this network out; it has diverged or is damaged."
            )
        return value

    def load(self) -> Params:
        """All tensors under their plain names.

        Raises:
            ConfigError: if a file cannot be read.
            SpecMismatch: if an entry is not finite.
        """
        return {name: self.read(name) for name in self.stored}

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata of all files together."""
        return {key: value for part in self.parts for key, value in part.metadata.items()}

    @property
    def num_bytes(self) -> int:
        """Size of all tensors in memory."""
        return sum(value.num_bytes for value in self.tensors.values())

    @property
    def held_bytes(self) -> int:
        """Size of the tensors that are in memory already: few formats can be read in pieces."""
        return sum(value.num_bytes for value in self.tensors.values() if isinstance(value.at, Tensor))


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at ``path``: a network file, an index of shards, or the folder of one network.

    Only headers are read; formats without one are read whole.

    Raises:
        ConfigError: if a file is missing, truncated or of another format, or the index and its files disagree.
    """
    place = network_at(path)
    if shards.is_index(place):
        return _sharded(place)
    contents = read_file(place)
    return _checkpoint(place, {place.name: contents})


def open_network(path: Path, spec: SymmetrySpec, ties: naming.Ties = ()) -> Checkpoint:
    """:func:`open_checkpoint` for a network of the given architecture, its tensors under the names of the spec.

    Scalars that the architecture does not have (a step, a score) are left out.

    Args:
        path: See there.
        spec: The architecture.
        ties: Groups of names that are one tensor: the file may lack all but one of a group.

    Raises:
        ConfigError: see there.
        SpecMismatch: if a parameter is missing, unknown or of another shape, naming the file.
    """
    found = open_checkpoint(path)
    try:
        found = _named(found, spec, ties)
        stacked = spec.check({name: torch.empty(shape, device="meta") for name, shape in found.shapes.items()})
    except SpecMismatch as error:
        branch = f" The order of its tensors says nothing, since its graph {found.branch}." if found.branch else ""
        raise SpecMismatch(f"{path}: {error}{_other_task(found, spec)}{branch}") from error
    if stacked is not None:
        raise SpecMismatch(f"{path} stacks {stacked} networks. Save them in files of their own.")
    return found


def _named(found: Checkpoint, spec: SymmetrySpec, ties: naming.Ties) -> Checkpoint:
    """The same under the names of the spec, as far as they fit."""
    fit = naming.fitting_names(found.tensors, list(spec.axes), ties)
    if fit is None and found.exported:
        return _in_order(found, spec)
    if fit is None:
        return found
    used = set(fit.values())
    scalars = [name for name, value in found.tensors.items() if name not in used and not value.shape]
    # A tensor that is too many has a name of its own, by which the spec refuses it.
    more = {name: name for name in found.tensors if name not in used and name not in scalars}
    return replace(found, stored=more | fit, left_out=(*found.left_out, *scalars))


def _in_order(found: Checkpoint, spec: SymmetrySpec) -> Checkpoint:
    """A network whose tensors an exporter has named, under the names of the spec, as far as they fit."""
    assert found.exported, "asked before"
    theirs = {exported: name for name, exported in found.exported.items()}
    fit = naming.fitting_names(theirs, list(spec.axes))
    fit = fit and {name: theirs[exported] for name, exported in fit.items()}
    if fit is None and not found.branch:
        fit = naming.by_order({name: value.shape for name, value in found.tensors.items()}, spec)
    if fit is None or len(fit) < len(found.tensors):
        return found
    (part,) = found.parts
    tensors = {name: found.tensors[stored] for name, stored in fit.items()}
    return replace(
        found, parts=(replace(part, names=tuple(fit)),), stored={name: name for name in fit}, tensors=tensors
    )


def _other_task(found: Checkpoint, spec: SymmetrySpec) -> str:
    """What to say where only the number of inputs or classes differs; empty otherwise."""
    for name, axes in spec.params:
        have, want = found.shapes.get(name), spec.shape(name)
        if have is None or len(have) != len(want) or have == want:
            continue
        for axis, here, there in zip(axes, have, want, strict=True):
            fixed = [part.space for part in axis.parts if part.space is not None and spec.space[part.space].fixed]
            if here != there and fixed:
                return (
                    f" It has {here} units where {fixed[0]!r} has {there}: networks of other inputs or classes cannot "
                    "be matched."
                )
    return ""


def _sharded(index: Path) -> Checkpoint:
    shard_of, about = shards.read_index(index)
    held: dict[str, Contents] = {}
    for file in sorted(set(shard_of.values())):
        if not (index.parent / file).is_file():
            raise ConfigError(
                f"the shard {index.parent / file} is missing, which {index.name} names. Fetch it, or save the network "
                "again."
            )
        held[file] = read_file(index.parent / file)
    shards.check_shards(index, shard_of, {file: contents.tensors for file, contents in held.items()})
    return replace(_checkpoint(index.parent, held, shard_of), index=index.name, about=about)


def _checkpoint(path: Path, held: Mapping[str, Contents], order: Iterable[str] | None = None) -> Checkpoint:
    tensors = {name: value for contents in held.values() for name, value in contents.tensors.items()}
    if not tensors:
        raise ConfigError(f"{path} holds no tensors. Save a network: save_file(net.state_dict(), path).")
    return Checkpoint(
        path,
        tuple(Part(file, contents.metadata, tuple(contents.tensors)) for file, contents in held.items()),
        naming.plain_names(tensors if order is None else order),
        tensors,
        tuple(name for contents in held.values() for name in contents.left_out),
        {name: exported for contents in held.values() for name, exported in contents.exported.items()},
        next((contents.branch for contents in held.values() if contents.branch), ""),
        numbers={name: number for contents in held.values() for name, number in contents.numbers.items()},
    )


def wide(params: Params) -> Params:
    """The same with number types of 8 bits, which have no arithmetic, in float32."""
    return {name: value.float() if value.dtype in _EIGHT_BITS else value for name, value in params.items()}


def is_finite(value: Tensor) -> bool:
    """Whether all entries are numbers, looked at piece by piece."""
    if not value.dtype.is_floating_point:
        return True
    # Types of 8 bits have no test of their own.
    pieces = (piece.float() if piece.dtype.itemsize == 1 else piece for piece in value.reshape(-1).split(PIECE))
    return all(bool(piece.isfinite().all()) for piece in pieces)
