"""Output folders that know what they were made from: a command continues in its own folder and touches no other.

A mark, one file of the folder, says what the results follow from: the settings, and digests of the inputs. A folder
with another mark is refused, as is one that holds anything and has no mark.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from .._errors import ConfigError, WeightSpaceError
from . import atomic
from .folder import network_at
from .shards import is_index, read_index

_SHOWN = 60
"""Characters of a value that a message repeats."""


@final
@dataclass(frozen=True)
class Results:
    """What one kind of command leaves in its folder.

    Attributes:
        what: Its results, for messages: ``fine-tuned networks``.
        doing: What its owner does: ``fine-tuning``.
        mark: Name of the file that says what they were made from.
        files: Patterns of the files that the command writes: all that ``overwrite`` removes.
        beside: Names that may be in the folder before the mark.
        error: Class of the errors.
        listed: Further files that ``overwrite`` removes, where the folder itself says which it wrote.
    """

    what: str
    doing: str
    mark: str
    files: tuple[str, ...]
    beside: tuple[str, ...] = ()
    error: type[WeightSpaceError] = ConfigError
    listed: Callable[[Path], Iterable[Path]] | None = None

    def check(
        self,
        folder: Path,
        made_from: Mapping[str, Any],
        *,
        overwrite: bool = False,
        read: Callable[[Path], Mapping[str, Any]] = atomic.read_json,
    ) -> bool:
        """Refuse a folder that is not this command's; says whether it holds results to be replaced.

        Args:
            folder: Where results should go.
            made_from: What they follow from, as plain data.
            overwrite: Whether results of the same kind may be replaced.
            read: Reads a mark.

        Raises:
            error: if the folder holds anything else, or results that were made from something else.
        """
        if folder.is_file():
            raise self.error(f"--out {folder} is a file. Name a folder, e.g. --out {folder.stem}-results")
        mark = folder / self.mark
        if not mark.is_file():
            strange = sorted(name for name in _names(folder) if name not in self.beside)
            if strange:
                raise self.error(
                    f"{folder} holds {strange[0]!r} and no {self.mark}, so it is no folder of {self.what}. "
                    f"Choose another --out, or put its {self.mark} back."
                )
            return False
        difference = first_difference(read(mark), made_from)
        if difference is None or overwrite:
            return difference is not None
        raise self.error(
            f"{folder} holds {self.what} made from something else: {difference}. Choose another --out, or add "
            "--overwrite to replace them."
        )

    @contextmanager
    def opened(
        self,
        folder: Path,
        made_from: Mapping[str, Any],
        *,
        overwrite: bool = False,
        read: Callable[[Path], Mapping[str, Any]] = atomic.read_json,
        text: str | None = None,
    ) -> Iterator[None]:
        """The folder for this command alone, made and marked; see :meth:`check`.

        Args:
            folder: Where results go.
            made_from: What they follow from.
            overwrite: Whether results of the same kind that were made from something else are removed.
            read: Reads a mark.
            text: Content of the mark, ``made_from`` as JSON by default; the caller of an empty one writes it himself.

        Raises:
            error: as :meth:`check`, and if another process has the folder or it cannot be made.
        """
        with locked(folder, self.doing, self.error):
            # Again: since the caller's look another process may have begun and ended here.
            if self.check(folder, made_from, overwrite=overwrite, read=read):
                self._remove(folder)
            for place in (folder, *(path for path in folder.iterdir() if path.is_dir())):
                atomic.remove_leftovers(place)
            if text != "":
                atomic.write_text(folder / self.mark, text or json.dumps(made_from, indent=1) + "\n")
            yield

    def _remove(self, folder: Path) -> None:
        """The old results, the mark last: a kill in between leaves a folder that is still known."""
        listed = () if self.listed is None else self.listed(folder)
        matching = [path for pattern in self.files for path in sorted(folder.glob(pattern))]
        # What lists others is removed after them.
        for path in (*listed, *matching):
            if path.is_file() and path.name != self.mark:
                path.unlink()


def digest(path: Path) -> str:
    """Of the content of a network file, of all files of a sharded network, or of any other file.

    Raises:
        ConfigError: if it cannot be read.
    """
    place = network_at(path)
    found = hashlib.sha256()
    try:
        for part in _parts(place):
            with part.open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}. Check the file and run again.") from error
    return found.hexdigest()[:16]


def _parts(place: Path) -> Iterable[Path]:
    if not is_index(place):
        return [place]
    return [place, *(place.parent / file for file in sorted(set(read_index(place)[0].values())))]


def first_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """``NAME is X there, Y here`` for the first entry, by dotted name, in which two configurations differ."""
    before, now = _fields(old), _fields(new)
    for name in now | before:
        if before.get(name) != now.get(name):
            there, here = (str(value.get(name))[:_SHOWN] for value in (before, now))
            return f"{name} is {there} there, {here} here"
    return None


def _fields(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration as dotted names."""
    out: dict[str, Any] = {}
    for name, value in config.items():
        out |= _fields(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + str(name): value}
    return out


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix != ".tmp"] if folder.is_dir() else []


@contextmanager
def locked(folder: Path, doing: str, error: type[WeightSpaceError]) -> Iterator[None]:
    """Make the folder and keep a second writer out for as long as this one works.

    A killed process lets go by itself. Folders that were made here and are still empty at the end are removed: a
    refused command leaves nothing behind.

    Args:
        folder: What is locked.
        doing: What its owner does, e.g. ``training``; for the message.
        error: Class of the errors.

    Raises:
        error: if another process has the folder, or it cannot be made.
    """
    missing: list[Path] = []
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as cause:
        _remove_empty(missing)
        raise error(f"cannot make the folder {folder}: {cause.strerror}. Choose another place with --out.") from cause
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        os.close(descriptor)
        raise error(
            f"another process is {doing} in {folder}. Wait for it, or choose another place with --out."
        ) from cause
    try:
        yield
    finally:
        _remove_empty(missing)
        os.close(descriptor)


def _remove_empty(folders: list[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
