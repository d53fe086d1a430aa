"""What the paths on a command line mean: network files, folders of one network or of many, and patterns."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

from .._errors import ConfigError, WeightSpaceError
from .formats import READERS, missing
from .shards import is_index, read_index

T = TypeVar("T")

_WHOLE = ("model.safetensors", "pytorch_model.bin")
"""Files that are the network of a folder as hubs keep it, beside what is none."""

_ALONE = (".bin",)
"""Ends of names that many other files have: such a file is a network when it is named itself."""


@final
@dataclass(frozen=True)
class LeftOut:
    """A network that could not be used, and why."""

    file: Path
    reason: str


def each(files: Iterable[Path], use: Callable[[Path], T], left_out: list[LeftOut] | None) -> Iterator[tuple[Path, T]]:
    """Each file with what ``use`` makes of it; one that it refuses is added to ``left_out``.

    Raises:
        WeightSpaceError: from ``use``, if ``left_out`` is ``None``: where one network is meant, it must be right.
    """
    for file in files:
        try:
            made = use(file)
        except WeightSpaceError as error:
            if left_out is None:
                raise
            left_out.append(LeftOut(file, str(error).removeprefix(f"{file}").removeprefix(": ").lstrip()))
        else:
            yield file, made


def network_at(path: Path) -> Path:
    """The one file, or index of shards, that is the network at ``path``.

    Raises:
        ConfigError: if there is nothing, or no network, or more than one.
    """
    if not path.is_dir():
        if not path.exists():
            raise ConfigError(missing(path))
        return path
    found = _whole(path)
    if found is not None:
        return found
    files = list(_in_folder(path))
    if len(files) != 1:
        what = f"{len(files)} networks" if files else "no network"
        raise ConfigError(f"the folder {path} holds {what}. Name one file{f', e.g. {files[0]}' if files else ''}.")
    return files[0]


def files_of(network: Path) -> list[Path]:
    """The files that a network lies in: itself, or index and shards.

    Raises:
        ConfigError: see :func:`network_at`, or if the index cannot be read.
    """
    place = network_at(network)
    parts = sorted(set(read_index(place)[0].values())) if is_index(place) else []
    return [place, *(place.parent / file for file in parts)]


def find_networks(paths: Sequence[Path], *, recursive: bool = False) -> list[Path]:
    """The networks that the paths mean, each once: files and indices as named, those of folders in alphabetical order.

    A folder with an index of shards, or kept as hubs do, is one network. What is named as a file is taken as it is,
    also if it cannot be read.

    Args:
        paths: Files, folders, or patterns with ``*``, ``?`` or ``[...]``.
        recursive: Whether to look into folders inside folders.

    Raises:
        ConfigError: if a path does not exist, or means no network.
    """
    found: list[Path] = []
    for path in paths:
        files = [file for place in _expanded(path) for file in _of(place, recursive)]
        if not files:
            raise ConfigError(_none(path, recursive))
        found += files
    return list(dict.fromkeys(found))


def _expanded(path: Path) -> list[Path]:
    """A path as it is, or what its pattern means."""
    if path.exists() or not any(sign in str(path) for sign in "*?["):
        return [path]
    start = Path(path.anchor) if path.is_absolute() else Path()
    found = sorted(start.glob(str(path.relative_to(path.anchor) if path.is_absolute() else path)))
    if not found:
        raise ConfigError(f"no file or folder fits {path}. Try it: ls {path}")
    # A pattern may fit anything; of the files it names, networks are meant.
    return [place for place in found if place.is_dir() or _is_network(place)]


def _of(path: Path, recursive: bool) -> Iterator[Path]:
    if not path.is_dir():
        if not path.exists():
            raise ConfigError(missing(path))
        yield path
        return
    whole = _whole(path)
    if whole is not None:
        yield whole
        return
    yield from _in_folder(path)
    for inside in sorted(path.iterdir()) if recursive else ():
        if inside.is_dir() and not inside.name.startswith("."):
            yield from _of(inside, recursive)


def _in_folder(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.iterdir()):
        if file.is_file() and _is_network(file) and file.suffix not in _ALONE:
            yield file


def _is_network(file: Path) -> bool:
    return not file.name.startswith(".") and (file.suffix in READERS or is_index(file))


def _whole(folder: Path) -> Path | None:
    """The file or index that makes the folder one network, if there is one.

    Raises:
        ConfigError: if there are several indices.
    """
    indices = sorted(path for path in folder.iterdir() if is_index(path) and not path.name.startswith("."))
    if len(indices) > 1:
        names = ", ".join(path.name for path in indices)
        raise ConfigError(f"the folder {folder} holds several sharded networks ({names}). Name one: {indices[0]}")
    if indices:
        return indices[0]
    # The configuration says that this is a model, not a folder of many of which one has this name.
    kept = (folder / "config.json").is_file()
    return next((folder / name for name in _WHOLE if kept and (folder / name).is_file()), None)


def _none(path: Path, recursive: bool) -> str:
    ends = ", ".join(end for end in READERS if end not in _ALONE)
    if path.is_dir() and not recursive and any(_of(path, recursive=True)):
        return f"the networks in {path} lie in folders inside it. Add --recursive."
    return f"{path} holds no file ending in {ends}. Name another folder."
