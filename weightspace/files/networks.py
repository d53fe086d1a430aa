"""Trained networks as users keep them: a safetensors or torch file, or shards with an index; alone or in a folder."""

import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from .._errors import ConfigError, SpecMismatch
from .._types import Params
from ..spec import SymmetrySpec
from . import atomic
from .shards import INDEX, index_in, is_index, read_shards, write_shards

SUFFIXES = (".safetensors", ".pt", ".pth")

_PREFIXES = ("module.", "_orig_mod.")
"""What parallel and compiled modules put before all names."""

ACTIVATION = "activation"
"""Metadata entry of a safetensors file: the hidden activation, which the weights alone do not show."""


@final
@dataclass(frozen=True)
class NetworkFile:
    """One network: where it was read, its parameters as stored, and the metadata of its file.

    ``prefix`` stands before every name in the file and not in ``params``.
    """

    path: Path
    params: Params
    metadata: dict[str, str]
    prefix: str = ""


def find_networks(path: Path) -> list[Path]:
    """The network files that ``path`` means: itself, or all of a folder in alphabetical order.

    A folder with an index of shards is one network, and its file is the index.

    Raises:
        ConfigError: if there are none.
    """
    if path.is_file():
        if path.suffix not in SUFFIXES and not is_index(path):
            raise ConfigError(f"{path} is no network file: its name should end in {', '.join(SUFFIXES)}. Convert it.")
        return [path]
    if not path.is_dir():
        raise ConfigError(f"there is no file or folder {path}. Check the path, e.g. with ls {path.parent}.")
    index = index_in(path)
    if index is not None:
        return [index]
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith("."))
    if not files:
        raise ConfigError(f"the folder {path} holds no file ending in {', '.join(SUFFIXES)}. Name another folder.")
    return files


def read_network(path: Path, spec: SymmetrySpec, activation: str) -> NetworkFile:
    """One network of the given architecture and activation; a file that does not name its own is assumed to have it.

    Raises:
        ConfigError: if the file cannot be read.
        SpecMismatch: if the network is of another architecture (naming the first difference) or activation, or
            holds values that are not finite.
    """
    params, metadata = _read(path)
    stated = metadata.get(ACTIVATION, activation)
    if activation and stated != activation:
        raise SpecMismatch(
            f"{path} says that its activation is {stated!r}, but {activation!r} is needed here. Leave this network "
            "out, or choose an operator or --activation for it."
        )
    try:
        stacked = spec.check(params)
    except SpecMismatch as error:
        raise SpecMismatch(f"{path}: {error}") from error
    if stacked is not None:
        raise SpecMismatch(f"{path} holds {stacked} stacked networks, expected one. Write one file per network.")
    for name in spec.axes:
        if not params[name].is_floating_point() or not bool(params[name].isfinite().all()):
            raise SpecMismatch(
                f"{path}: parameter {name!r} holds values that are not finite numbers (NaN or infinity), "
                "or is not of a float type. Leave this network out; it has diverged or is damaged."
            )
    return NetworkFile(path, {name: params[name] for name in spec.axes}, metadata)


def read_tensors(path: Path) -> Params:
    """The tensors in a network file of any architecture.

    Raises:
        ConfigError: if the file cannot be read.
    """
    return _read(path)[0]


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a network file; a torch file has none.

    Raises:
        ConfigError: if the file cannot be read.
    """
    return _read(path)[1]


def stack(networks: Sequence[NetworkFile]) -> Params:
    """Stacked float32 parameters."""
    names = networks[0].params
    return {name: torch.stack([network.params[name].float() for network in networks]) for name in names}


def write_changed(network: NetworkFile, old: Params, new: Params, index: int, path: Path, activation: str) -> None:
    """Write a network changed by ``new - old``, with its own names, dtypes and metadata, and its activation.

    The change is added in float64 to the numbers as stored, so that a float64 network keeps its precision.
    """
    changed: Params = {}
    for name, value in network.params.items():
        delta = new[name][index].double() - old[name][index].double()
        changed[name] = (value.double() + delta).to(value.dtype)
    stated = {ACTIVATION: activation} if activation else {}
    write_network(path, changed, network.metadata | stated, network.path)


def write_network(path: Path, params: Params, metadata: dict[str, str], like: Path | None = None) -> None:
    """Write one network at once, in the format that the suffix names; an index in the shards of the index ``like``.

    Raises:
        ConfigError: if the place cannot be written.
    """
    if is_index(path) and like is not None:
        write_shards(path, like, params, metadata)
        return
    if path.suffix == ".safetensors":
        atomic.save_tensors(path, params, metadata)
        return
    buffer = io.BytesIO()
    torch.save(params, buffer)
    atomic.write_bytes(path, buffer.getvalue())


def targets(files: Sequence[Path], source: Path, out: Path) -> list[Path]:
    """Where the results of ``files`` go: ``out`` itself for one file, the same names inside it for a folder.

    A sharded network may go into one file, or as shards into a folder.

    Raises:
        ConfigError: if a folder should go into a file, or a result would replace its input.
    """
    if is_index(files[0]):
        wanted = [out if out.suffix in SUFFIXES and not out.is_dir() else out / files[0].name]
        if out.is_file() and out.suffix not in SUFFIXES:
            raise ConfigError(f"{source} is sharded, so --out {out} must be a folder or end in {', '.join(SUFFIXES)}.")
    elif source.is_file():
        wanted = [out / source.name if out.is_dir() else out]
        if wanted[0].suffix not in SUFFIXES:
            raise ConfigError(f"--out {out} should end in {', '.join(SUFFIXES)}, e.g. --out {out}.safetensors.")
    elif out.is_file() or out.suffix in SUFFIXES:
        raise ConfigError(f"{source} is a folder, so --out {out} must be one as well, e.g. --out {out.stem}.")
    else:
        wanted = [out / file.name for file in files]
    for file, place in zip(files, wanted, strict=True):
        if file.resolve() == place.resolve():
            raise ConfigError(f"the result would replace its input {file}. Choose another --out.")
    return wanted


def load_params(path: Path) -> Params:
    """The tensors of a ``.safetensors`` file, or of a ``.pt`` or ``.pth`` file read without running code.

    An index of shards, or a folder that holds one, is a network as well.

    Raises:
        ConfigError: if the file is missing, has another suffix, is truncated, or holds no state_dict.
    """
    return _read(_network_at(path))[0]


def read_any(path: Path, spec: SymmetrySpec) -> NetworkFile:
    """One network of the spec's architecture, of any number types; ``module.`` and ``_orig_mod.`` before names go.

    Raises:
        ConfigError: if the file cannot be read.
        SpecMismatch: if a parameter is missing, unknown or of another shape, or networks are stacked, naming the file.
    """
    place = _network_at(path)
    params, metadata = _read(place)
    prefix = _prefix(params)
    params = {name.removeprefix(prefix): value for name, value in params.items()}
    try:
        stacked = spec.check(params)
    except SpecMismatch as error:
        raise SpecMismatch(f"{path}: {error}") from error
    if stacked is not None:
        raise SpecMismatch(f"{path} stacks {stacked} networks. Save them in files of their own.")
    return NetworkFile(place, params, metadata, prefix)


def _network_at(path: Path) -> Path:
    index = index_in(path) if path.is_dir() else None
    if index is None and not ((path.suffix in SUFFIXES or is_index(path)) and path.is_file()):
        raise ConfigError(
            f"{path} is no file of tensors. Give a file that ends in {', '.join(SUFFIXES)} or {INDEX}, or a folder "
            "with such an index."
        )
    return index or path


def _prefix(params: Params) -> str:
    found = ""
    # Wrappers may stand in each other, in either order, but hardly twice.
    for prefix in _PREFIXES * 2:
        if params and all(name.startswith(found + prefix) for name in params):
            found += prefix
    return found


def _read(path: Path) -> tuple[Params, dict[str, str]]:
    if is_index(path):
        return read_shards(path)
    return atomic.load_tensors(path) if path.suffix == ".safetensors" else (_read_torch(path), {})


def _read_torch(path: Path) -> Params:
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{path} cannot be read as a file of tensors ({str(error).strip().splitlines()[0]}). "
            "Save it with torch.save(net.state_dict(), path), or as safetensors."
        ) from error
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    if not isinstance(value, dict) or not all(isinstance(item, Tensor) for item in value.values()):
        raise ConfigError(
            f"{path} holds no state_dict (names to tensors). Save it with torch.save(net.state_dict(), path)."
        )
    return dict(value)
