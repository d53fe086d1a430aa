"""``make_zoo``: train what is missing, shard by shard, and write it."""

import math
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from .._errors import ConfigError
from .._frozen import MOST_RUNS
from .._types import Progress
from ..gauge import derive
from ..spec import SymmetrySpec, to_text
from ._any_config import AnyZooConfig
from ._config import ZooConfig
from ._images import load_images
from ._inr_config import InrZooConfig
from ._make_cnns import CNNMaker
from ._make_inrs import InrMaker
from ._make_mlps import MLPMaker
from ._make_seeds import SeedMaker
from ._maker import AbstractMaker, Shard
from ._pool import Advance, workers
from ._resume import FOLDER, finished, missing, read_identity
from ._seed_config import SeedZooConfig
from ._store import (
    FORMAT,
    MANIFEST,
    architecture_name,
    clean,
    shard_name,
    write_manifest,
    write_shard,
)
from ._zoo import Zoo


def make_zoo(
    config: AnyZooConfig,
    out_dir: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    num: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Zoo:
    """The zoo of ``config`` in ``out_dir``, after training and writing whatever of it is missing or damaged.

    Killed at any moment, the same call continues, and the files are those of an uninterrupted one. A larger
    ``num`` extends a zoo; a smaller one leaves it as it is. Works on as many cores as torch uses; the number of
    cores does not change the bytes, another shard size changes weights by rounding.

    Args:
        config: What to train.
        out_dir: Folder of the zoo, made if needed.
        data_dir: Folder of the image sets, see :func:`load_images`.
        num: Training runs, in place of ``config.num``.
        overwrite: Replace a zoo of another configuration.
        progress: Called with units of work done (model-images, or steps of networks for INRs), all of them (of this
            call), and a message.

    Raises:
        ConfigError: if the images are missing or do not fit the target.
        ZooError: if the folder holds anything but a zoo of this configuration, is in use, or cannot be written.
    """
    folder = Path(out_dir)
    wanted = config.num if num is None else num
    if not 1 <= wanted <= MOST_RUNS:
        raise ConfigError(f"a zoo of {wanted} runs cannot be made. Ask for 1 to {MOST_RUNS}.")
    spec = derive(config.target.build(), config.target.example())
    arch = architecture_name(config.target.kind, spec, config.target.nonlinearity)
    identity = config.identity()
    FOLDER.check(folder, identity, overwrite=overwrite, read=read_identity)
    # Of a new zoo the images are read first: without them the folder is not even made.
    maker = None if (folder / MANIFEST).is_file() else _maker(config, wanted, data_dir, progress)
    with FOLDER.opened(folder, identity, overwrite=overwrite, read=read_identity, text=""):
        clean(folder, arch)
        done = finished(folder)
        shards = missing(wanted, done, config.shard)
        if shards:
            # Before the manifest: a number of runs that cannot be made is not written down.
            maker = maker or _maker(config, wanted, data_dir, progress)
        manifest = {
            "format": FORMAT,
            "num": max(wanted, max(done, default=-1) + 1),
            "config": identity,
            "architectures": {arch: {"target": config.target.model_dump(mode="json"), "spec": to_text(spec)}},
        }
        write_manifest(folder, manifest)
        if shards and maker is not None:
            _make_shards(maker, shards, folder, arch, spec, progress)
    return Zoo.open(folder)


def _make_shards(
    maker: AbstractMaker,
    shards: list[range],
    folder: Path,
    arch: str,
    spec: SymmetrySpec,
    progress: Progress | None,
) -> None:
    num = sum(map(len, shards))
    advance = Advance(
        progress, sum(maker.work(run) for shard in shards for run in shard), f"{maker.message} {num} networks"
    )
    with workers(advance) as pool:
        # One shard is trained ahead, so that no core waits for the last group of a shard.
        ahead: deque[tuple[range, Callable[[], Shard]]] = deque()
        for shard in shards:
            ahead.append((shard, maker.submit(pool, shard, advance)))
            if len(ahead) > 1:
                _write(*ahead.popleft(), folder, arch, spec)
        while ahead:
            _write(*ahead.popleft(), folder, arch, spec)


def _write(shard: range, wait: Callable[[], Shard], folder: Path, arch: str, spec: SymmetrySpec) -> None:
    params, rows = wait()
    columns: dict[str, list[object]] = {}
    for key in rows[0]:
        columns[key] = [row[key] for row in rows]
        if key == "epoch":
            columns |= {"arch": [arch] * len(rows), "shard": [shard_name(shard.start)] * len(rows)}
            columns["row"] = list(range(len(rows)))
    write_shard(folder, arch, shard.start, spec, params, columns)


def _maker(
    config: AnyZooConfig, num: int, data_dir: str | os.PathLike[str] | None, progress: Progress | None
) -> AbstractMaker:
    if isinstance(config, InrZooConfig):
        found = load_images(config.images, data_dir, progress, full_size=True, colour=config.target.colour)
        return InrMaker(config, found, num)
    images = load_images(config.images, data_dir, progress, full_size=not isinstance(config, ZooConfig))
    target = config.target
    need, have = (images.train_x.shape[1], images.num_classes), target.sizes
    if have != need:
        change = (
            f"target.widths to {need[0]}, ..., {need[1]}"
            if target.kind == "mlp"
            else f"target.side to {math.isqrt(need[0])} and target.num_classes to {need[1]}"
        )
        raise ConfigError(
            f"a target with {have[0]} inputs and {have[1]} outputs cannot classify {images.name}, which has "
            f"{need[0]} pixels and {need[1]} classes. Set {change}."
        )
    if isinstance(config, SeedZooConfig):
        return SeedMaker(config, images)
    return MLPMaker(config, images) if isinstance(config, ZooConfig) else CNNMaker(config, images)
