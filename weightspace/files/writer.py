"""Checkpoints written piece by piece, in the files, order and metadata of another one, whole or not at all.

A safetensors file is the length of its header (8 bytes, little-endian), the header (JSON, filled up with spaces to a
multiple of 8), and the tensors' bytes. Shapes and number types are known beforehand, so the header is written first
and no more than a piece of one tensor is in memory.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from .._errors import ConfigError, SpecMismatch
from .._types import Progress
from . import atomic, shards
from .checkpoint import PIECE, Checkpoint, Part, is_finite
from .folder import files_of
from .formats import DTYPES, READERS, WRITTEN, size, write_npz

_WORDS = {dtype: word for word, dtype in DTYPES.items()}

ENDS = ", ".join(WRITTEN)


def target(out: Path, like: Checkpoint, inputs: Sequence[Path]) -> Path:
    """``out``, if a checkpoint like the given one can be written there.

    Raises:
        ConfigError: if the name does not say a format, an input would be replaced, or a folder is not empty.
    """
    for path in inputs:
        if out.resolve() in _files(path):
            raise ConfigError(f"the result would replace its input {path}. Choose another --out.")
    if out.suffix in WRITTEN:
        if out.is_dir():
            raise ConfigError(f"--out {out} is a folder. Choose another name for the file.")
        return out
    if like.index is None:
        raise ConfigError(f"--out {out} should end in {ENDS}, e.g. --out {out.with_suffix('')}.safetensors")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"--out {out} is there already. Remove it, or choose another folder for the shards.")
    return out


def targets(files: Sequence[Path], named: Sequence[Path], out: Path) -> list[Path]:
    """Where the results of ``files`` go: ``out`` itself for one file, the same names inside it for a folder of them.

    Networks of folders inside folders keep theirs. A sharded network may go into one file, or as shards into a folder;
    a format that is not written here becomes safetensors.

    Args:
        files: Networks, see :func:`weightspace.files.folder.find_networks`.
        named: The paths that the user gave for them.
        out: File or folder.

    Raises:
        ConfigError: if many networks should go into a file, two into one place, or a result would replace an input.
    """
    if len(files) == 1 and (shards.is_index(files[0]) or not named[0].is_dir()):
        wanted = [_alone(files[0], out)]
    elif out.is_file() or out.suffix in WRITTEN:
        several = f"there are {len(files)} networks, so --out {out} must be a folder"
        folder = f"{named[0]} is a folder, so --out {out} must be one as well"
        raise ConfigError(f"{folder if named[0].is_dir() else several}, e.g. --out {out.stem}.")
    else:
        # A sharded network is its folder.
        places = [file.parent if shards.is_index(file) else file for file in files]
        root = Path(os.path.commonpath([place.parent for place in places]))
        wanted = [out / written_as(place.relative_to(root)) for place in places]
    taken: dict[Path, Path] = {}
    for file, place in zip(files, wanted, strict=True):
        other = taken.setdefault(place, file)
        if other != file:
            raise ConfigError(f"{other} and {file} would both be written to {place}. Rename one of them.")
        if place.resolve() in _files(file):
            raise ConfigError(f"the result would replace its input {file}. Choose another --out.")
    return wanted


def _alone(file: Path, out: Path) -> Path:
    if shards.is_index(file):
        if out.is_file() and out.suffix not in WRITTEN:
            raise ConfigError(f"{file} is sharded, so --out {out} must be a folder or end in {ENDS}.")
        return out
    place = out / written_as(Path(file.name)) if out.is_dir() else out
    if place.suffix not in WRITTEN:
        raise ConfigError(f"--out {out} should end in {ENDS}, e.g. --out {out}.safetensors.")
    return place


def written_as(name: Path) -> Path:
    """The name under which a network of this name is written: formats that are only read become safetensors."""
    return name if name.suffix in WRITTEN or name.suffix not in READERS else name.with_suffix(".safetensors")


def _files(network: Path) -> set[Path]:
    """All that a result would replace if it took the place of one of it; nothing of what does not exist."""
    if not network.exists():
        return set()
    parts = files_of(network)
    around = [parts[0].parent] if shards.is_index(parts[0]) else []
    return {path.resolve() for path in (*around, *parts)}


def write_like(
    like: Checkpoint,
    out: Path,
    tensor: Callable[[str], Iterable[Tensor]],
    dtypes: Mapping[str, torch.dtype] | None = None,
    metadata: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a checkpoint with the names, order, number types and metadata of ``like``.

    A file name gets one file; a folder gets the shards of ``like`` and their index. Files other than safetensors are
    put together in memory first, without metadata; a torch file holds the state dict alone: the state of
    an optimizer is of the old numbers.

    Args:
        like: The checkpoint to follow.
        out: See :func:`target`.
        tensor: The value to write, by plain name, in consecutive pieces of any shape; called once for each tensor.
        dtypes: Number types by plain name, those of ``like`` by default.
        metadata: Entries to add to the metadata of every file.
        progress: Called with tensors done, tensors in all, and a message.

    Raises:
        ConfigError: if the place cannot be written; nothing is left of it.
        SpecMismatch: if a value is not finite in its number type; nothing is left either.
    """
    # A tensor that has two names in the architecture is written as often as it is stored.
    plain = {stored: name for name, stored in reversed(like.stored.items())}
    types = {
        stored: value.dtype if dtypes is None or stored not in plain else dtypes[plain[stored]]
        for stored, value in like.tensors.items()
    }
    done = 0

    def value(stored: str) -> Iterator[Tensor]:
        nonlocal done
        if progress is not None:
            progress(done, len(types), "tensors")
        done += 1
        if stored not in plain:
            yield like.tensors[stored].spans([0], 1)[0]  # a scalar that is no part of the network
            return
        num = 0
        for found in tensor(plain[stored]):
            num += found.numel()
            for piece in found.detach().reshape(-1).split(PIECE):
                yield _converted(piece, types[stored], stored)
        assert num == math.prod(like.tensors[stored].shape), f"{stored} has {num} entries"

    def save(part: Part, path: Path, suffix: str) -> None:
        shapes = {name: (like.tensors[name].shape, types[name]) for name in part.names}
        with path.open("wb") as file:
            if suffix == ".safetensors":
                _write(file, shapes, part.metadata | dict(metadata or {}), value)
            else:
                whole = {name: torch.cat([*value(name)]).view(shape) for name, (shape, _) in shapes.items()}
                write_npz(file, whole) if suffix == ".npz" else torch.save(whole, file)
            file.flush()
            os.fsync(file.fileno())

    atomic.remove_leftovers(out.parent, out.name)
    with atomic.written_at_once(out) as temporary:
        if out.suffix in WRITTEN:
            names = tuple(name for part in like.parts for name in part.names)
            save(Part(out.name, like.metadata, names), temporary, out.suffix)
        else:
            temporary.mkdir()
            for part in like.parts:
                save(part, temporary / part.file, Path(part.file).suffix)
            _write_index(like, types, temporary)
            atomic.sync_folder(temporary)


def _write(
    file: BinaryIO,
    shapes: Mapping[str, tuple[tuple[int, ...], torch.dtype]],
    metadata: Mapping[str, str],
    value: Callable[[str], Iterable[Tensor]],
) -> None:
    # Widest types first, so that every tensor begins at a multiple of its own width.
    rank = {dtype: place for place, dtype in enumerate(DTYPES.values())}
    order = sorted(shapes, key=lambda name: (-rank[shapes[name][1]], name))
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    start = 0
    for name in order:
        shape, dtype = shapes[name]
        stop = start + size(shape, dtype)
        header[name] = {"dtype": _WORDS[dtype], "shape": list(shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        for piece in value(name):
            file.write(piece.view(torch.uint8).numpy().data)


def _write_index(like: Checkpoint, types: Mapping[str, torch.dtype], folder: Path) -> None:
    assert like.index is not None, "checked by target"
    total = sum(size(like.tensors[name].shape, dtype) for name, dtype in types.items())
    about = {**(like.about or {}), "total_size": total}
    places = {name: part.file for part in like.parts for name in part.names}
    content = {"metadata": about, "weight_map": dict(sorted(places.items()))}
    with (folder / like.index).open("w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _converted(value: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    there = value.detach().to(device="cpu", dtype=dtype).contiguous()
    if not is_finite(there):
        word = str(dtype).removeprefix("torch.")
        raise SpecMismatch(
            f"parameter {name!r} of the result does not fit {word}: its largest number is "
            f"{float(value.abs().max()):.3g}. Nothing was written; choose a wider number type (dtype: float32)."
        )
    return there
