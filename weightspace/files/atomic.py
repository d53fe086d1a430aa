"""Files and folders that exist whole or not at all, also after a kill or a full disk."""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from .._errors import ConfigError
from .._types import Params
from .formats import read_safetensors


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file at once: a reader sees the old file or the new one, also after a kill or a full disk.

    Raises:
        ConfigError: if the folder cannot be written or the disk is full; the old file is left as it was.
    """
    with written_at_once(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def written_at_once(path: Path) -> Iterator[Path]:
    """A place to write a file or a folder that then takes the name ``path``; after an error nothing is left of it.

    Raises:
        ConfigError: if the folder cannot be written or the disk is full; what was there is left as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror or error}. Nothing was half-written. "
            "Free some space or choose another place with --out."
        ) from error
    finally:
        with suppress(OSError):
            remove(temporary)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove the temporary files of processes that were killed while they wrote into the folder, or only ``name``.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    for path in folder.glob(".*.tmp" if name is None else f".{escape(name)}.*.tmp"):
        pid = path.name.split(".")[-2]
        if pid.isdecimal() and _alive(int(pid)):
            continue
        try:
            remove(path)
        except OSError as error:
            raise ConfigError(
                f"cannot remove {path}: {error.strerror or error}. Remove it, or choose another --out."
            ) from error


def write_text(path: Path, text: str) -> None:
    """:func:`write_bytes` for text."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """:func:`write_bytes` for JSON, indented."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        ConfigError: if it cannot be read.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read {path}: {error}. Remove the file and run the same command again.") from error


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file at once (see :func:`write_bytes`); the same content gives the same bytes."""
    ready: dict[str, Tensor] = {}
    used: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.detach().contiguous().cpu()
        place = value.untyped_storage().data_ptr()
        # The format has no tied tensors: every name gets numbers of its own.
        ready[name] = value.clone() if place in used else value
        used.add(place)
    write_bytes(path, _with_sorted_metadata(save(ready, dict(metadata))))


def load_tensors(path: Path) -> tuple[Params, dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        ConfigError: if it is missing, truncated or no safetensors file.
    """
    found = read_safetensors(path)
    tensors = {name: value.spans([0], math.prod(value.shape))[0] for name, value in found.tensors.items()}
    return {name: value.view(found.tensors[name].shape) for name, value in tensors.items()}, found.metadata


def _with_sorted_metadata(content: bytes) -> bytes:
    """The same file with its metadata in alphabetical order; safetensors leaves the order to chance.

    A file is the length of its header (8 bytes, little-endian), the header (JSON, filled up with spaces to a
    multiple of 8), and the tensors' bytes, which the header places relative to its own end.
    """
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def remove(path: Path) -> None:
    """Remove a file, or a folder with all in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
