"""A network on disk, as one file or as shards with an index: read piece by piece, written whole or not at all.

For shards and their index see :mod:`weightspace.files.shards`.
"""

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Int, Shaped
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .._errors import ConfigError, SpecMismatch
from .._types import Params
from ..spec import SymmetrySpec
from . import networks, shards

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
}
"""Number types by the word in the header of a safetensors file, in the order, last to first, of its tensors."""

_SHORT = 512
"""Bytes of a row below which a tensor is read at once."""

_PREFIXES = ("module.", "_orig_mod.")

PIECE = 1 << 18
"""Entries that are read, converted or compared at a time: of networks of any size no whole tensor is in memory."""


@final
@dataclass(frozen=True)
class Place:
    """Where the bytes of a tensor begin."""

    file: Path
    start: int


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
        stored: By plain name, the name in the file, which may carry the prefixes ``module.`` and ``_orig_mod.`` of
            parallel and compiled modules.
        shapes: By plain name.
        dtypes: By plain name.
        index: Name of the index, if there is one.
        about: Its metadata.
    """

    path: Path
    parts: tuple[Part, ...]
    stored: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, torch.dtype]
    index: str | None
    about: dict[str, Any]
    _places: dict[str, Place]
    _held: Params

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
        stored = self.stored[name]
        if stored in self._held:
            flat = self._held[stored].reshape(-1)
            value = torch.stack([flat[start : start + length] for start in starts])
        else:
            value = _read(self._places[stored], self.dtypes[name], starts, length)
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
        return sum(size(self.shapes[name], dtype) for name, dtype in self.dtypes.items())

    @property
    def held_bytes(self) -> int:
        """Size of the tensors that are in memory already: a torch file cannot be read in pieces."""
        return sum(size(tuple(value.shape), value.dtype) for value in self._held.values())


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at ``path``: a ``.safetensors`` file, a folder with an index, the index itself, or a torch file.

    Only headers are read; a torch file has none and is read whole.

    Raises:
        ConfigError: if a file is missing, truncated or of another format, or the index and its files disagree.
    """
    index = shards.index_in(path) if path.is_dir() else path
    if index is not None and shards.is_index(index):
        return _sharded(index)
    if path.suffix == ".safetensors":
        part, shapes, dtypes, places = _header(path)
        return _checkpoint(path, [part], shapes, dtypes, places, {})
    params = networks.load_params(path)
    part = Part(path.name, {}, tuple(params))
    shapes = {name: tuple(value.shape) for name, value in params.items()}
    dtypes = {name: value.dtype for name, value in params.items()}
    return _checkpoint(path, [part], shapes, dtypes, {}, params)


def open_network(path: Path, spec: SymmetrySpec) -> Checkpoint:
    """:func:`open_checkpoint` for a network of the given architecture.

    Raises:
        ConfigError: see there.
        SpecMismatch: if a parameter is missing, unknown or of another shape, naming the file.
    """
    found = open_checkpoint(path)
    try:
        stacked = spec.check({name: torch.empty(shape, device="meta") for name, shape in found.shapes.items()})
    except SpecMismatch as error:
        raise SpecMismatch(f"{path}: {error}{_other_task(found, spec)}") from error
    if stacked is not None:
        raise SpecMismatch(f"{path} stacks {stacked} networks. Save them in files of their own.")
    return found


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


def size(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """Bytes of a tensor."""
    return torch.Size(shape).numel() * dtype.itemsize


def _sharded(index: Path) -> Checkpoint:
    shard_of = shards.read_index(index)
    about = dict(json.loads(index.read_text()).get("metadata") or {})
    parts, shapes, dtypes, places = [], {}, {}, {}
    for file in dict.fromkeys(shard_of.values()):
        part, its_shapes, its_dtypes, its_places = _header(index.parent / file)
        listed = tuple(name for name in part.names if shard_of.get(name) == file)
        for name in [name for name, shard in shard_of.items() if shard == file and name not in its_shapes]:
            raise ConfigError(f"{index} says that {name!r} is in {file}, but it is not there. Write both again.")
        parts.append(Part(file, part.metadata, listed))
        shapes |= {name: its_shapes[name] for name in listed}
        dtypes |= {name: its_dtypes[name] for name in listed}
        places |= {name: its_places[name] for name in listed}
    return _checkpoint(index.parent, parts, shapes, dtypes, places, {}, index.name, about)


def _checkpoint(
    path: Path,
    parts: list[Part],
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, torch.dtype],
    places: dict[str, Place],
    held: Params,
    index: str | None = None,
    about: dict[str, Any] | None = None,
) -> Checkpoint:
    if not shapes:
        raise ConfigError(f"{path} holds no tensors. Save a network: save_file(net.state_dict(), path).")
    plain = {name: name for name in shapes}
    for prefix in _PREFIXES * 2:
        if all(name.startswith(prefix) for name in plain):
            plain = {name.removeprefix(prefix): stored for name, stored in plain.items()}
    return Checkpoint(
        path,
        tuple(parts),
        plain,
        {name: shapes[stored] for name, stored in plain.items()},
        {name: dtypes[stored] for name, stored in plain.items()},
        index,
        about or {},
        places,
        held,
    )


def _header(
    path: Path,
) -> tuple[Part, dict[str, tuple[int, ...]], dict[str, torch.dtype], dict[str, Place]]:
    with _opened(path) as file:
        names = tuple(file.keys())
        slices = {name: file.get_slice(name) for name in names}
        shapes = {name: tuple(value.get_shape()) for name, value in slices.items()}
        words = {name: value.get_dtype() for name, value in slices.items()}
        metadata = dict(file.metadata() or {})
    for name, word in words.items():
        if word not in DTYPES:
            raise ConfigError(
                f"{path} holds {name!r} in numbers of type {word}, which are not read here. "
                f"Convert it to one of: {', '.join(DTYPES)}."
            )
    with path.open("rb") as raw:
        length = int.from_bytes(raw.read(8), "little")
        header = json.loads(raw.read(length))
    places = {name: Place(path, 8 + length + header[name]["data_offsets"][0]) for name in names}
    return Part(path.name, metadata, names), shapes, {name: DTYPES[word] for name, word in words.items()}, places


def _read(place: Place, dtype: torch.dtype, starts: Sequence[int], length: int) -> Tensor:
    """Spans of a tensor in a file. Mapping the file instead would keep every page in memory that was ever read."""
    value = torch.empty(len(starts), length, dtype=dtype)
    try:
        with place.file.open("rb", buffering=0) as file:
            for start, span in zip(starts, value.view(torch.uint8).numpy(), strict=True):
                file.seek(place.start + start * dtype.itemsize)
                if not _fill(file, memoryview(span)):
                    raise ConfigError(
                        f"{place.file} has become shorter while it was read. Write it again, then run this again."
                    )
    except OSError as error:
        raise ConfigError(f"cannot read {place.file}: {error.strerror}. Check the file and run again.") from error
    return value


def _fill(file: io.RawIOBase, buffer: memoryview) -> bool:
    """Whether the file has as many bytes more; one call of the system reads at most two gibibytes."""
    done = 0
    while done < len(buffer):
        count = file.readinto(buffer[done:])
        if not count:
            return False
        done += count
    return True


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """``safe_open`` with errors a user can act on."""
    if not path.is_file():
        raise ConfigError(f"there is no file {path}. Check the path, e.g. with ls {path.parent}.")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is not a readable safetensors file ({error}). It is truncated or of another format; "
            "write it again."
        ) from error


def is_finite(value: Tensor) -> bool:
    """Whether all entries are numbers, looked at piece by piece."""
    if not value.dtype.is_floating_point:
        return True
    # Types of 8 bits have no test of their own.
    pieces = (piece.float() if piece.dtype.itemsize == 1 else piece for piece in value.reshape(-1).split(PIECE))
    return all(bool(piece.isfinite().all()) for piece in pieces)
