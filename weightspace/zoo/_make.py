"""``make_zoo``: train what is missing, shard by shard, and write it."""

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from .._errors import ConfigError, ZooError
from ..spec import SymmetrySpec, derive, to_text
from ._claim import locked
from ._config import ZooConfig
from ._evaluate import evaluate
from ._flat import num_weights, views
from ._hyper import Hyper, draw_hyper, split_of
from ._images import Images, load_images
from ._pool import Advance, Progress, workers
from ._resume import check_same, finished, missing
from ._store import (
    FORMAT,
    MANIFEST,
    architecture_name,
    clean,
    shard_name,
    write_manifest,
    write_shard,
)
from ._train import Trained, groups, train_group, training_images
from ._zoo import Zoo

_TRAIN_SAMPLE = 5000
_METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy")


def make_zoo(
    config: ZooConfig,
    out_dir: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    num: int | None = None,
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
        progress: Called with model-images done, all of them (of this call), and a message.

    Raises:
        ConfigError: if the images are missing or do not fit the target.
        ZooError: if the folder holds a zoo of another configuration, is in use, or cannot be written.
    """
    folder = Path(out_dir)
    wanted = config.num if num is None else num
    spec = derive(config.target.build(), torch.zeros(1, config.target.widths[0]))
    arch = architecture_name(config.target.kind, spec, config.target.activation)
    check_same(config, folder)
    # Of a new zoo the images are read first: without them the folder is not even made.
    images = None if (folder / MANIFEST).is_file() else _fitting_images(config, data_dir, progress)
    with locked(folder, "making the zoo", ZooError):
        check_same(config, folder)
        clean(folder, arch)
        done = finished(folder)
        manifest = {
            "format": FORMAT,
            "num": max(wanted, max(done, default=-1) + 1),
            "config": config.model_dump(mode="json", exclude={"num"}),
            "architectures": {arch: {"target": config.target.model_dump(mode="json"), "spec": to_text(spec)}},
        }
        write_manifest(folder, manifest)
        shards = missing(wanted, done, config.shard)
        if shards:
            images = images or _fitting_images(config, data_dir, progress)
            _make_shards(_Making(config, images, folder, arch, spec), shards, progress)
    return Zoo.open(folder)


@final
@dataclass(frozen=True)
class _Making:
    config: ZooConfig
    images: Images
    folder: Path
    arch: str
    spec: SymmetrySpec


def _make_shards(making: _Making, shards: list[range], progress: Progress | None) -> None:
    config, images = making.config, making.images
    hypers = {run: draw_hyper(config.hyper, config.seed, run) for shard in shards for run in shard}
    seen = sum(len(training_images(hyper, len(images.train_x))) for hyper in hypers.values())
    advance = Advance(progress, seen * config.checkpoints[-1], f"training {len(hypers)} networks")
    with workers(advance) as pool:
        # One shard is trained ahead, so that no core waits for the last group of a shard.
        ahead: deque[tuple[range, _Tasks]] = deque()
        for shard in shards:
            ahead.append((shard, _submit(pool, making, [hypers[run] for run in shard], advance)))
            if len(ahead) > 1:
                _finish(making, *ahead.popleft())
        while ahead:
            _finish(making, *ahead.popleft())


_Tasks = list[tuple[list[Hyper], Future[tuple[Trained, Tensor]]]]


def _submit(pool: ThreadPoolExecutor, making: _Making, hypers: Sequence[Hyper], advance: Advance) -> _Tasks:
    tasks: _Tasks = []
    # The largest first: a long task at the end would leave the other cores idle.
    for places in sorted(groups(hypers), key=lambda group: -hypers[group[0]].fraction):
        group = [hypers[place] for place in places]
        tasks.append((group, pool.submit(_train_and_measure, making, group, advance)))
    return tasks


def _train_and_measure(making: _Making, group: Sequence[Hyper], advance: Advance) -> tuple[Trained, Tensor]:
    config, images = making.config, making.images
    trained = train_group(
        group,
        config.target,
        images,
        batch_size=config.batch_size,
        checkpoints=config.checkpoints,
        advance=advance,
    )
    shapes = config.target.shapes()
    params = views(trained.weights.flatten(0, 1), shapes)
    parts = []
    num_images = len(images.train_x)
    for hyper, weights in zip(group, trained.weights, strict=True):
        own = torch.from_numpy(training_images(hyper, num_images)[:_TRAIN_SAMPLE])
        mine = views(weights, shapes)
        parts.append(evaluate(mine, images.train_x[own], images.train_y[own], config.target.activation))
    results = [torch.cat([part.loss for part in parts]), torch.cat([part.accuracy for part in parts])]
    for x, y in ((images.val_x, images.val_y), (images.test_x, images.test_y)):
        result = evaluate(params, x, y, config.target.activation)
        results += [result.loss, result.accuracy]
    return trained, torch.stack(results, dim=-1).unflatten(0, trained.diverged.shape)


def _finish(making: _Making, shard: range, tasks: _Tasks) -> None:
    config = making.config
    shapes, times = config.target.shapes(), len(config.checkpoints)
    weights = torch.empty(len(shard), times, num_weights(shapes))
    metrics = torch.empty(len(shard), times, len(_METRICS))
    diverged = torch.empty(len(shard), times, dtype=torch.bool)
    by_run: dict[int, Hyper] = {}
    for group, future in tasks:
        trained, measured = future.result()
        places = [hyper.id - shard.start for hyper in group]
        weights[places], metrics[places], diverged[places] = trained.weights, measured, trained.diverged
        by_run |= {hyper.id: hyper for hyper in group}
    # A loss that overflows belongs to a network that is as useless as one with infinite weights.
    diverged |= ~metrics.isfinite().all(-1)
    rows: list[dict[str, Any]] = []
    for place, run in enumerate(shard):
        split = split_of(config.seed, run)
        for time, epoch in enumerate(config.checkpoints):
            lost = bool(diverged[place, time])
            row = {
                **asdict(by_run[run]),
                "epoch": epoch,
                "arch": making.arch,
                "shard": shard_name(shard.start),
                "row": len(rows),
                "split": "none" if lost else split,
                "diverged": lost,
                **dict(zip(_METRICS, metrics[place, time].tolist(), strict=True)),
            }
            rows.append(row)
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    params = views(weights.flatten(0, 1), shapes)
    write_shard(making.folder, making.arch, shard.start, making.spec, params, columns)


def _fitting_images(config: ZooConfig, data_dir: str | os.PathLike[str] | None, progress: Progress | None) -> Images:
    images = load_images(config.images, data_dir, progress)
    need = (images.train_x.shape[1], images.num_classes)
    have = (config.target.widths[0], config.target.widths[-1])
    if have != need:
        raise ConfigError(
            f"a target with {have[0]} inputs and {have[1]} outputs cannot classify {images.name}, which has "
            f"{need[0]} pixels and {need[1]} classes. Set target.widths to {need[0]}, ..., {need[1]}."
        )
    return images
