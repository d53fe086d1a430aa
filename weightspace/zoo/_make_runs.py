"""Runs with hyper-parameters of their own: trained in groups, kept at several epochs, measured."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from ._cnn_config import CNNZooConfig
from ._config import ZooConfig
from ._flat import num_weights, views
from ._hyper import Hyper, draw_hyper, split_of
from ._images import Images
from ._maker import AbstractMaker, Shard
from ._pool import Advance
from ._train import MOST_AT_ONCE, Trained, groups, training_images

TRAIN_SAMPLE = 5000
METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy")

C = TypeVar("C", ZooConfig, CNNZooConfig)

_Tasks = list[tuple[list[Hyper], Future[tuple[Trained, Tensor]]]]


class AbstractRunsMaker(AbstractMaker, Generic[C]):
    """Runs that each draw their hyper-parameters; progress counts model-images."""

    message = "training"
    most_at_once = MOST_AT_ONCE

    def __init__(self, config: C, images: Images) -> None:
        self._config, self._images = config, images

    @abstractmethod
    def _train_and_measure(self, group: Sequence[Hyper], advance: Advance) -> tuple[Trained, Tensor]:
        """Runs of one data fraction, and their metrics at each checkpoint, ``[b, t, 6]``."""

    def work(self, run: int) -> int:
        """Images the run is trained on, over all epochs."""
        return len(training_images(self._hyper(run), len(self._images.train_x))) * self._config.checkpoints[-1]

    def submit(self, pool: ThreadPoolExecutor, shard: range, advance: Advance) -> Callable[[], Shard]:
        """One task for each group of runs."""
        hypers = [self._hyper(run) for run in shard]
        tasks: _Tasks = []
        # The largest first: a long task at the end would leave the other cores idle.
        for places in sorted(groups(hypers, self.most_at_once), key=lambda group: -hypers[group[0]].fraction):
            group = [hypers[place] for place in places]
            tasks.append((group, pool.submit(self._train_and_measure, group, advance)))
        return lambda: self._collect(shard, tasks)

    def _hyper(self, run: int) -> Hyper:
        return draw_hyper(self._config.hyper, self._config.seed, run)

    def _collect(self, shard: range, tasks: _Tasks) -> Shard:
        config = self._config
        shapes, times = config.target.shapes(), len(config.checkpoints)
        weights = torch.empty(len(shard), times, num_weights(shapes))
        metrics = torch.empty(len(shard), times, len(METRICS))
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
                    "split": "none" if lost else split,
                    "diverged": lost,
                    **dict(zip(METRICS, metrics[place, time].tolist(), strict=True)),
                }
                rows.append(row)
        return views(weights.flatten(0, 1), shapes), rows
