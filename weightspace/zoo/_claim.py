"""Folders that belong to one command at a time: locked while it works, and compared with what they hold."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .._errors import WeightSpaceError


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


def first_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """``NAME is X there, Y here`` for the first entry, by dotted name, in which two configurations differ."""
    before, now = _fields(old), _fields(new)
    for name in now | before:
        if before.get(name) != now.get(name):
            return f"{name} is {before.get(name)} there, {now.get(name)} here"
    return None


def _fields(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration as dotted names."""
    out: dict[str, Any] = {}
    for name, value in config.items():
        out |= _fields(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return out


def _remove_empty(folders: list[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
