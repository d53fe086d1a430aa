"""Checkpoints in several files: an index, ``model.safetensors.index.json``, names the shard of every tensor.

The index is the JSON object ``{"weight_map": {tensor: file}, "metadata": {...}}`` that common tools write; files lie
beside it.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from .._errors import ConfigError

INDEX = ".safetensors.index.json"
"""How the name of an index ends."""

_INDICES = (INDEX, ".bin.index.json")

_LONGEST = 255
"""Bytes of the longest name of a file."""


def is_index(path: Path) -> bool:
    """Whether the name is that of an index."""
    return path.name.endswith(_INDICES)


def read_index(index: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """By tensor, the name of its shard; and the metadata of the index.

    Raises:
        ConfigError: if it is no index, names a tensor twice, or a file that is not in its folder.
    """
    try:
        value = json.loads(index.read_text(), object_pairs_hook=lambda pairs: _once(index, pairs))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{index} cannot be read as an index of shards ({reason}). Write it again.") from error
    shard_of = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(shard_of, dict) or not shard_of or not all(isinstance(file, str) for file in shard_of.values()):
        raise ConfigError(
            f"{index} is no index of shards: it needs an entry 'weight_map' from tensor names to file names. "
            "Name a .safetensors file instead, or write the index again."
        )
    about = value.get("metadata") or {}
    if not isinstance(about, dict):
        raise ConfigError(
            f"{index}: its 'metadata' is {type(about).__name__}, not names and values. Write {{}} there, or remove it."
        )
    for name, file in shard_of.items():
        sound = Path(file).name == file and file.endswith((".safetensors", ".bin"))
        if not sound or len(os.fsencode(file)) > _LONGEST:
            raise ConfigError(
                f"{index} says that {name!r} lies in {file[:99]!r}, which is no .safetensors or .bin file in its own "
                "folder. Put the shards beside the index and write their plain names."
            )
    return shard_of, about


def check_shards(index: Path, shard_of: Mapping[str, str], held: Mapping[str, Collection[str]]) -> None:
    """Raise unless every tensor lies in the shard that the index names, and in no other.

    Raises:
        ConfigError: naming the first that does not.
    """
    places: dict[str, str] = {}
    for file, names in held.items():
        for name in names:
            if name in places:
                raise ConfigError(
                    f"{index.parent}: {name!r} lies in two shards, {places[name]} and {file}. Save the network again; "
                    "one of the two is left over from another one."
                )
            places[name] = file
    for name in [*shard_of, *places]:
        if places.get(name) != shard_of.get(name):
            here, there = shard_of.get(name, "no shard"), places.get(name, "none of them")
            raise ConfigError(
                f"{index} puts {name!r} into {here}, but it lies in {there}. Index and shards are of different "
                "networks; save the network again."
            )


def _once(index: Path, pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ConfigError(
                f"{index} names {name!r} twice ({found[name]!r} and {value!r}). Keep the line that is right."
            )
        found[name] = value
    return found
