"""What a folder already holds of a zoo: which runs are done, whose configuration it is, and what may be added."""

import hashlib
from pathlib import Path
from typing import Any

from .._errors import ZooError
from ..files.results import Results
from ._any_config import AnyZooConfig
from ._store import MAKE_AGAIN, MANIFEST, index_path, is_intact, read_index, read_manifest, shard_names

FOLDER = Results(
    "a zoo",
    "making the zoo",
    MANIFEST,
    ("index/shard-*.parquet", "weights/*/shard-*.safetensors"),
    error=ZooError,
)


def read_identity(path: Path) -> dict[str, Any]:
    """What the manifest says that may not change."""
    return read_manifest(path.parent)["config"]


def finished(folder: Path) -> set[int]:
    """Runs whose shard is committed."""
    done: set[int] = set()
    for name in shard_names(folder):
        done |= set(read_index(folder, name)[0]["id"].tolist())
    return done


def missing(wanted: int, done: set[int], size: int) -> list[range]:
    """Runs to train, in shards that start at multiples of ``size`` or where a finished shard ends."""
    shards: list[range] = []
    for run in range(wanted):
        if run in done:
            continue
        if shards and shards[-1].stop == run and run % size:
            shards[-1] = range(shards[-1].start, run + 1)
        else:
            shards.append(range(run, run + 1))
    return shards


def check_same(config: AnyZooConfig, folder: Path) -> None:
    """Refuse a folder with anything but a zoo of this configuration.

    Raises:
        ZooError: naming the first entry that differs, or what is no part of a zoo.
    """
    FOLDER.check(folder, config.identity(), read=read_identity)


def unfinished(config: AnyZooConfig, folder: Path) -> int | None:
    """Number of runs to ask :func:`make_zoo` for, if that only adds what an earlier call has not done yet.

    None if the folder holds a zoo of another configuration, a finished one or a damaged one: repairing replaces
    files, which is for the user to decide.
    """
    try:
        # A zoo gets its manifest first: files without one are somebody else's, or a zoo that has lost it.
        check_same(config, folder)
        if not (folder / MANIFEST).is_file():
            return config.num
        manifest = read_manifest(folder)
        (arch,) = manifest["architectures"]
        intact = all(is_intact(folder, arch, name) for name in shard_names(folder))
        num = int(manifest["num"])
        return num if intact and missing(num, finished(folder), config.shard) else None
    except (ZooError, KeyError, TypeError, ValueError):
        return None


def index_fingerprint(folder: Path) -> str:
    """Hash of a zoo's index, which in turn holds the hash of every weights file.

    Raises:
        ZooError: if an index part cannot be read.
    """
    digest = hashlib.sha256()
    for name in shard_names(folder):
        path = index_path(folder, name)
        try:
            digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        except OSError as error:
            raise ZooError(
                f"index part {path} cannot be read: {error.strerror}. {MAKE_AGAIN.format(folder)}"
            ) from error
    return digest.hexdigest()
