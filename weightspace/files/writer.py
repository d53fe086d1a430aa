"""Checkpoints written piece by piece, in the files, order and metadata of another one, whole or not at all.

A safetensors file is the length of its header (8 bytes, little-endian), the header (JSON, filled up with spaces to a
multiple of 8), and the tensors' bytes. Shapes and number types are known beforehand, so the header is written first
and no more than a piece of one tensor is in memory.
"""

import io
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from .._errors import ConfigError, SpecMismatch
from . import atomic, shards
from .checkpoint import DTYPES, PIECE, Checkpoint, Part, is_finite, size

_WORDS = {dtype: word for word, dtype in DTYPES.items()}

Progress = Callable[[int, int, str], None]


def target(out: Path, like: Checkpoint, inputs: list[Path]) -> Path:
    """``out``, if a checkpoint like the given one can be written there.

    Raises:
        ConfigError: if the name does not say a format, an input would be replaced, or a folder is not empty.
    """
    for path in inputs:
        if out.resolve() in _files(path):
            raise ConfigError(f"the result would replace its input {path}. Choose another --out.")
    if out.suffix in (".safetensors", ".pt", ".pth"):
        if out.is_dir():
            raise ConfigError(f"--out {out} is a folder. Choose another name for the file.")
        return out
    if like.index is None:
        raise ConfigError(f"--out {out} should end in .safetensors, .pt or .pth, e.g. --out {out}.safetensors")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"--out {out} is there already. Remove it, or choose another folder for the shards.")
    return out


def _files(network: Path) -> set[Path]:
    """The file itself, or folder, index and shards."""
    index = shards.index_in(network) if network.is_dir() else network
    if index is None or not shards.is_index(index):
        return {network.resolve()}
    parts = [index.parent / file for file in set(shards.read_index(index).values())]
    return {path.resolve() for path in (network, index, *parts)}


def write_like(
    like: Checkpoint,
    out: Path,
    tensor: Callable[[str], Iterable[Tensor]],
    dtypes: Mapping[str, torch.dtype] | None = None,
    metadata: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a checkpoint with the names, order, number types and metadata of ``like``.

    A file name gets one file; a folder gets the shards of ``like`` and their index. Torch files (``.pt``) are put
    together in memory first.

    Args:
        like: The checkpoint to follow.
        out: See :func:`target`.
        tensor: The value to write, by plain name, in consecutive pieces of any shape; called once for each.
        dtypes: Number types by plain name, those of ``like`` by default.
        metadata: Entries to add to the metadata of every file.
        progress: Called with tensors done, tensors in all, and a message.

    Raises:
        ConfigError: if the place cannot be written; nothing is left of it.
        SpecMismatch: if a value is not finite in its number type; nothing is left either.
    """
    types = dict(like.dtypes if dtypes is None else dtypes)
    plain = {stored: name for name, stored in like.stored.items()}
    done = 0

    def value(stored: str) -> Iterator[Tensor]:
        nonlocal done
        if progress is not None:
            progress(done, len(plain), "tensors")
        done += 1
        name, num = plain[stored], 0
        for found in tensor(name):
            num += found.numel()
            for piece in found.detach().reshape(-1).split(PIECE):
                yield _converted(piece, types[name], stored)
        assert num == math.prod(like.shapes[name]), f"{name} has {num} entries, not those of {like.shapes[name]}"

    def save(part: Part, path: Path) -> None:
        shapes = {name: (like.shapes[plain[name]], types[plain[name]]) for name in part.names}
        with path.open("wb") as file:
            _write(file, shapes, part.metadata | dict(metadata or {}), value)
            file.flush()
            os.fsync(file.fileno())

    atomic.remove_leftovers(out.parent, out.name)
    with atomic.written_at_once(out) as temporary:
        names = tuple(name for part in like.parts for name in part.names)
        if out.suffix == ".safetensors":
            save(Part(out.name, like.metadata, names), temporary)
        elif out.suffix in (".pt", ".pth"):
            buffer = io.BytesIO()
            torch.save({name: torch.cat([*value(name)]).view(like.shapes[plain[name]]) for name in names}, buffer)
            temporary.write_bytes(buffer.getvalue())
        else:
            temporary.mkdir()
            for part in like.parts:
                save(part, temporary / part.file)
            assert like.index is not None, "checked by target"
            _write_index(like, types, temporary / like.index)
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


def _write_index(like: Checkpoint, types: Mapping[str, torch.dtype], path: Path) -> None:
    total = sum(size(like.shapes[name], dtype) for name, dtype in types.items())
    about = {**like.about, "total_size": total}
    places = {name: part.file for part in like.parts for name in part.names}
    content = {"metadata": about, "weight_map": dict(sorted(places.items()))}
    with path.open("w") as file:
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
