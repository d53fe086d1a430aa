"""Implicit neural representations: which image a run is fitted to, and how well that went."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import final

import numpy as np
import torch
from torch import Tensor

from .._errors import ConfigError
from ._fit_inrs import MOST_AT_ONCE, fit_inrs
from ._flat import views
from ._hyper import run_seed, split_of
from ._images import Images
from ._inr_config import InrZooConfig
from ._maker import AbstractMaker, Shard
from ._pool import Advance

_OF_TEN = {"train": 8, "val": 1, "test": 1}  # runs of each split among ten in a row


@final
class InrMaker(AbstractMaker):
    """Runs of an :class:`InrZooConfig`; progress counts steps of networks.

    A run of a split is fitted to an image of that split's images, each to another one.

    Raises:
        ConfigError: if there are fewer images than runs.
    """

    message = "fitting"

    def __init__(self, config: InrZooConfig, images: Images, num: int) -> None:
        self._config = config
        self._x = {"train": images.train_x, "val": images.val_x, "test": images.test_x}
        self._y = {"train": images.train_y, "val": images.val_y, "test": images.test_y}
        most = 10 * min(len(x) // _OF_TEN[split] for split, x in self._x.items())
        if num > most:
            raise ConfigError(
                f"{images.name} has images for {most} networks, one for each, and {num} are asked for. Ask for fewer: "
                f"--num {most}"
            )
        # Keys (run, 0) and (block, 1) of the zoo's seed belong to the runs' seeds and splits.
        self._order = {
            split: np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(key, 2))).permutation(len(x))
            for key, (split, x) in enumerate(self._x.items())
        }

    def work(self, run: int) -> int:
        """Steps of the run."""
        del run
        return self._config.steps

    def submit(self, pool: ThreadPoolExecutor, shard: range, advance: Advance) -> Callable[[], Shard]:
        """One task for each 16 runs."""
        tasks = [
            pool.submit(self._fit, shard[start : start + MOST_AT_ONCE], advance)
            for start in range(0, len(shard), MOST_AT_ONCE)
        ]
        return lambda: self._collect(shard, tasks)

    def _image(self, run: int) -> tuple[str, int]:
        """Split of a run and the place of its image in the split's images."""
        seed, first = self._config.seed, run - run % 10
        split = split_of(seed, run)
        before = sum(split_of(seed, other) == split for other in range(first, run))
        return split, int(self._order[split][run // 10 * _OF_TEN[split] + before])

    def _fit(self, runs: range, advance: Advance) -> tuple[Tensor, Tensor]:
        config = self._config
        flat = torch.stack([self._x[split][image] for split, image in map(self._image, runs)]).add(1).div(2)
        channels = config.target.widths[-1]
        side = round((flat.shape[1] / channels) ** 0.5)
        weights = fit_inrs(
            [run_seed(config.seed, run) for run in runs],
            config.target,
            flat.unflatten(1, (channels, side, side)),
            steps=config.steps,
            learning_rate=config.learning_rate,
            advance=advance,
        )
        params = views(weights, config.target.shapes())
        shown = config.target.pictures(params, side).flatten(1)
        return weights, (shown - flat).square().mean(1, dtype=torch.float64)

    def _collect(self, shard: range, tasks: list[Future[tuple[Tensor, Tensor]]]) -> Shard:
        weights, errors = (torch.cat(part) for part in zip(*(task.result() for task in tasks), strict=True))
        rows = []
        for run, mse in zip(shard, errors.tolist(), strict=True):
            split, image = self._image(run)
            row = {
                "id": run,
                "seed": run_seed(self._config.seed, run),
                "epoch": self._config.steps,
                "split": split,
                "diverged": False,
                "image": image,
                "label": int(self._y[split][image]),
                "mse": mse,
                "psnr": -10 * float(np.log10(mse)),
            }
            rows.append(row)
        return views(weights, self._config.target.shapes()), rows
