"""Safetensors: a header of names, shapes and places, then the bytes; tensors are read in pieces."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..._errors import ConfigError
from ._stored import DTYPES, Contents, Place, Stored, check_file


def read_safetensors(path: Path) -> Contents:
    """What the header of the file says.

    Raises:
        ConfigError: if it is truncated, of another format, or holds numbers of a type that is not read here.
    """
    check_file(path)
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
    return Contents({name: Stored(shapes[name], DTYPES[words[name]], places[name]) for name in names}, metadata)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """``safe_open`` with errors a user can act on."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is not a readable safetensors file ({error}). It is truncated or of another format; "
            "write it again."
        ) from error
