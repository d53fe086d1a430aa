"""Checkpoints in several files: an index, ``model.safetensors.index.json``, names the shard of every tensor.

The index is the JSON object ``{"weight_map": {tensor: file}, "metadata": {...}}`` that common tools write; files lie
beside it.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from .._errors import ConfigError
from .._types import Params
from . import atomic

INDEX = ".safetensors.index.json"
"""How the name of an index ends."""


def is_index(path: Path) -> bool:
    """Whether the name is that of an index."""
    return path.name.endswith(INDEX)


def index_in(folder: Path) -> Path | None:
    """The index that makes this folder one network, if there is one.

    Raises:
        ConfigError: if there are several.
    """
    found = sorted(path for path in folder.iterdir() if is_index(path) and not path.name.startswith("."))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ConfigError(f"the folder {folder} holds several sharded networks ({names}). Name one: {found[0]}")
    return found[0] if found else None


def read_shards(index: Path) -> tuple[Params, dict[str, str]]:
    """The tensors that an index names, and the metadata of its shards together.

    Headers are compared with the index first. Tensors are then mapped from their files one by one, so that memory
    holds what is used of them and no copy of a shard.

    Raises:
        ConfigError: if the index or a shard cannot be read, or they disagree.
    """
    shard_of = read_index(index)
    params: Params = {}
    metadata: dict[str, str] = {}
    held = {file: _header(index, file) for file in sorted(set(shard_of.values()))}
    _check(index, shard_of, {file: names for file, (names, _) in held.items()})
    for file, (names, more) in held.items():
        with safe_open(index.parent / file, framework="pt") as shard:
            params |= {name: shard.get_tensor(name) for name in names}
        metadata |= more
    return {name: params[name] for name in shard_of}, metadata


def read_index(index: Path) -> dict[str, str]:
    """By tensor, the name of its shard.

    Raises:
        ConfigError: if it is no index, names a tensor twice, or a file that is not in its folder.
    """
    try:
        value = json.loads(index.read_text(), object_pairs_hook=lambda pairs: _once(index, pairs))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{index} cannot be read as an index of shards ({reason}). Write it again.") from error
    shard_of = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(shard_of, dict) or not shard_of or not all(isinstance(file, str) for file in shard_of.values()):
        raise ConfigError(
            f"{index} is no index of shards: it needs an entry 'weight_map' from tensor names to file names. "
            "Name a .safetensors file instead, or write the index again."
        )
    for name, file in shard_of.items():
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise ConfigError(
                f"{index} says that {name!r} lies in {file!r}, which is no .safetensors file in its own folder. "
                "Put the shards beside the index and write their plain names."
            )
    return shard_of


def write_shards(index: Path, like: Path, params: Params, metadata: Mapping[str, str]) -> None:
    """Write a network in the shards of another one's index; the index comes last, so that it never lacks a shard.

    Raises:
        ConfigError: if the place cannot be written.
    """
    shard_of = read_index(like)
    for file in sorted(set(shard_of.values())):
        part = {name: params[name] for name, place in shard_of.items() if place == file}
        atomic.save_tensors(index.parent / file, part, metadata)
    atomic.write_bytes(index, like.read_bytes())


def _once(index: Path, pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ConfigError(
                f"{index} names {name!r} twice ({found[name]!r} and {value!r}). Keep the line that is right."
            )
        found[name] = value
    return found


def _header(index: Path, file: str) -> tuple[list[str], dict[str, str]]:
    path = index.parent / file
    if not path.is_file():
        raise ConfigError(
            f"the shard {path} is missing, which {index.name} names. Fetch it, or save the network again."
        )
    try:
        with safe_open(path, framework="pt") as shard:
            return list(shard.keys()), dict(shard.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise ConfigError(
            f"the shard {path} is not a readable safetensors file ({error}). It is truncated or of another format; "
            "fetch it again."
        ) from error


def _check(index: Path, shard_of: Mapping[str, str], held: Mapping[str, list[str]]) -> None:
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
