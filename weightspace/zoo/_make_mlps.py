"""MLPs with hyper-parameters of their own: trained in groups, kept at several epochs, measured."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, final

import torch
from torch import Tensor

from ._config import ZooConfig
from ._evaluate import evaluate
from ._flat import num_weights, views
from ._hyper import Hyper, draw_hyper, split_of
from ._images import Images
from ._maker import AbstractMaker, Shard
from ._pool import Advance
from ._train import Trained, groups, train_group, training_images

TRAIN_SAMPLE = 5000
METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy")

_Tasks = list[tuple[list[Hyper], Future[tuple[Trained, Tensor]]]]


@final
class MLPMaker(AbstractMaker):
    """Runs of a :class:`ZooConfig`; progress counts model-images."""

    message = "training"

    def __init__(self, config: ZooConfig, images: Images) -> None:
        self._config, self._images = config, images

    def work(self, run: int) -> int:
        """Images the run is trained on, over all epochs."""
        return len(training_images(self._hyper(run), len(self._images.train_x))) * self._config.checkpoints[-1]

    def submit(self, pool: ThreadPoolExecutor, shard: range, advance: Advance) -> Callable[[], Shard]:
        """One task for each group of runs."""
        hypers = [self._hyper(run) for run in shard]
        tasks: _Tasks = []
        # The largest first: a long task at the end would leave the other cores idle.
        for places in sorted(groups(hypers), key=lambda group: -hypers[group[0]].fraction):
            group = [hypers[place] for place in places]
            tasks.append((group, pool.submit(self._train_and_measure, group, advance)))
        return lambda: self._collect(shard, tasks)

    def _hyper(self, run: int) -> Hyper:
        return draw_hyper(self._config.hyper, self._config.seed, run)

    def _train_and_measure(self, group: Sequence[Hyper], advance: Advance) -> tuple[Trained, Tensor]:
        config, images = self._config, self._images
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
            own = torch.from_numpy(training_images(hyper, num_images)[:TRAIN_SAMPLE])
            mine = views(weights, shapes)
            parts.append(evaluate(mine, images.train_x[own], images.train_y[own], config.target.activation))
        results = [torch.cat([part.loss for part in parts]), torch.cat([part.accuracy for part in parts])]
        for x, y in ((images.val_x, images.val_y), (images.test_x, images.test_y)):
            result = evaluate(params, x, y, config.target.activation)
            results += [result.loss, result.accuracy]
        return trained, torch.stack(results, dim=-1).unflatten(0, trained.diverged.shape)

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
