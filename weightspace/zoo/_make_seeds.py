"""Classifiers that differ by their seeds alone: trained one by one, each on one core, and measured."""

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, final

import torch
from torch import Tensor

from ._hyper import run_seed, split_of
from ._images import Images
from ._make_runs import METRICS, TRAIN_SAMPLE
from ._maker import AbstractMaker, Shard
from ._pool import Advance
from ._seed_config import SeedZooConfig
from ._train_module import measure, train_module

_Trained = tuple[dict[str, Tensor], dict[str, Any]]


@final
class SeedMaker(AbstractMaker):
    """Runs of a :class:`SeedZooConfig`; progress counts model-images."""

    message = "training"

    def __init__(self, config: SeedZooConfig, images: Images) -> None:
        self._config, self._images = config, images

    def work(self, run: int) -> int:
        """Images the run is trained on, over all epochs."""
        del run
        return len(self._images.train_x) * self._config.epochs

    def submit(self, pool: ThreadPoolExecutor, shard: range, advance: Advance) -> Callable[[], Shard]:
        """One task a run."""
        tasks = [pool.submit(self._train, run, advance) for run in shard]
        return lambda: _collect(tasks)

    def _train(self, run: int, advance: Advance) -> _Trained:
        config, images = self._config, self._images
        seed = run_seed(config.seed, run)
        net, diverged = train_module(config, seed, images, advance)
        shape = config.target.example().shape[1:]
        results: list[float] = []
        for x, y in (
            (images.train_x[:TRAIN_SAMPLE], images.train_y[:TRAIN_SAMPLE]),
            (images.val_x, images.val_y),
            (images.test_x, images.test_y),
        ):
            results += measure(net, x, y, shape)
        # A loss that overflows belongs to a network that is as useless as one with infinite weights.
        diverged = diverged or not all(map(math.isfinite, results))
        row = {
            "id": run,
            "seed": seed,
            "epoch": config.epochs,
            "split": "none" if diverged else split_of(config.seed, run),
            "diverged": diverged,
            **dict(zip(METRICS, results, strict=True)),
        }
        return {name: value.contiguous() for name, value in net.state_dict().items()}, row


def _collect(tasks: list[Future[_Trained]]) -> Shard:
    states, rows = zip(*(task.result() for task in tasks), strict=True)
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}, list(rows)
