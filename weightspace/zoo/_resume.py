"""What a folder already holds of a zoo: which runs are done, whose configuration it is, and what may be added."""

import hashlib
import json
from pathlib import Path

from .._errors import ZooError
from ._any_config import AnyZooConfig
from ._claim import first_difference
from ._store import MAKE_AGAIN, MANIFEST, index_path, is_intact, read_index, read_manifest, shard_names


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
    """Refuse a folder with a zoo of another configuration.

    Raises:
        ZooError: naming the first entry that differs.
    """
    if not (folder / MANIFEST).is_file():
        return
    # Through JSON, as the manifest went: tuples are lists there.
    difference = first_difference(read_manifest(folder)["config"], json.loads(json.dumps(config.identity())))
    if difference is not None:
        raise ZooError(
            f"{folder} holds a zoo of another configuration: {difference}. Choose another folder with --out, or "
            "remove that one."
        )


def unfinished(config: AnyZooConfig, folder: Path) -> int | None:
    """Number of runs to ask :func:`make_zoo` for, if that only adds what an earlier call has not done yet.

    None if the folder holds a zoo of another configuration, a finished one or a damaged one: repairing replaces
    files, which is for the user to decide.
    """
    if not (folder / MANIFEST).is_file():
        # A zoo gets its manifest first: shards without one are somebody's zoo that has lost it.
        return None if shard_names(folder) else config.num
    try:
        check_same(config, folder)
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
