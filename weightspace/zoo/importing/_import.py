"""``import_zoo``: the networks of a collection, written as a zoo."""

import os
from contextlib import suppress
from pathlib import Path

from ..._errors import ConfigError, ZooError
from ..._types import Params, Progress
from ...files import atomic
from ...gauge import derive
from ...spec import SymmetrySpec, to_text
from .._resume import FOLDER, finished, missing, read_identity
from .._store import FORMAT, MANIFEST, architecture_name, clean, shard_name, write_manifest, write_shard
from .._zoo import Zoo
from ._collection import Collection, Columns


def import_zoo(
    collection: Collection,
    out_dir: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Zoo:
    """The zoo of a collection in ``out_dir``, where it appears once all of it is written.

    Until then it grows beside it under a hidden name; killed at any moment, the same call continues there. A file that
    is refused leaves nothing behind. Nothing is written where the collection lies.

    Args:
        collection: It, from :func:`open_collection`.
        out_dir: Folder of the zoo.
        overwrite: Replace a zoo of something else.
        progress: Called with networks done, all of them, and a message.

    Raises:
        ConfigError: if a file cannot be read, or ``out_dir`` lies in the collection or cannot be written.
        SpecMismatch: if a network has other shapes or values that are not finite.
        ZooError: if ``out_dir`` holds anything but a zoo of this collection.
    """
    folder, config = Path(out_dir), collection.config
    folder = folder if folder.name else folder.resolve()
    if folder.resolve().is_relative_to(collection.folder.resolve()):
        raise ConfigError(
            f"--out {folder} lies in the folder that is imported, where nothing is written. Name another, e.g. --out "
            f"zoos/{config.source}"
        )
    identity = config.identity()
    if not FOLDER.check(folder, identity, overwrite=overwrite, read=read_identity) and (folder / MANIFEST).is_file():
        # A damaged one is written anew.
        with suppress(ZooError):
            return Zoo.open(folder)
    _check_no_more(folder)
    spec = derive(config.target.build().eval(), config.target.example())
    arch = architecture_name(config.target.kind, spec, config.target.nonlinearity)
    growing = folder.with_name(f".{folder.name}.importing")
    try:
        with FOLDER.opened(growing, identity, overwrite=True, read=read_identity, text=""):
            try:
                manifest = {
                    "format": FORMAT,
                    "num": config.num,
                    "config": identity,
                    "architectures": {arch: {"target": config.target.model_dump(mode="json"), "spec": to_text(spec)}},
                }
                write_manifest(growing, manifest)
                clean(growing, arch)
                _write_shards(collection, growing, arch, spec, progress)
                _put(growing, folder)
            except KeyboardInterrupt:
                raise
            except BaseException:
                for path in growing.iterdir() if growing.is_dir() else ():
                    atomic.remove(path)
                raise
    finally:
        with suppress(OSError):  # of one that was refused; another is not empty, or has gone
            growing.rmdir()
    return Zoo.open(folder)


def _check_no_more(folder: Path) -> None:
    """Refuse to replace a zoo beside whose files there are others."""
    known = {folder / MANIFEST, *(path for pattern in FOLDER.files for path in folder.glob(pattern))}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in known and path.suffix != ".tmp":
            raise ZooError(
                f"{folder} holds {path.relative_to(folder)}, which is no part of a zoo and would be lost. Move it "
                "away, or choose another --out."
            )


def _write_shards(
    collection: Collection, folder: Path, arch: str, spec: SymmetrySpec, progress: Progress | None
) -> None:
    config, done = collection.config, finished(folder)
    for shard in missing(config.num, done, config.shard):
        params, more = collection.read(shard)
        _check(collection, params, spec, shard)
        columns: Columns = {
            "id": list(shard),
            "epoch": [config.checkpoints[0]] * len(shard),
            "arch": [arch] * len(shard),
            "shard": [shard_name(shard.start)] * len(shard),
            "row": list(range(len(shard))),
            "diverged": [False] * len(shard),
        }
        columns |= {name: values[shard.start : shard.stop] for name, values in collection.columns.items()} | more
        write_shard(folder, arch, shard.start, spec, params, columns)
        done |= set(shard)
        if progress is not None:
            progress(len(done), config.num, f"importing {config.num} networks")


def _check(collection: Collection, params: Params, spec: SymmetrySpec, shard: range) -> None:
    """Raise unless these are stacked networks of the architecture; readers have looked at each of them before."""
    num = spec.check(params)
    if num != len(shard):
        raise ConfigError(f"{collection.folder} gave {num} networks for {len(shard)} rows. Import it again.")


def _put(growing: Path, folder: Path) -> None:
    """The finished zoo at its place; an old one goes once the new one is there."""
    old = folder.with_name(f".{folder.name}.replaced")
    try:
        if old.exists():
            atomic.remove(old)
        if folder.exists():
            folder.replace(old)
        growing.replace(folder)
        atomic.sync_folder(folder.parent)
        if old.exists():
            atomic.remove(old)
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}. Choose another place with --out.") from error
