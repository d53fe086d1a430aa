"""What every kind of zoo does in its own way: train the networks of a shard."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .._types import Params
from ._pool import Advance

Shard = tuple[Params, list[dict[str, Any]]]
"""Stacked parameters of a shard's networks, ordered by run and checkpoint, and a row of the index for each."""


class AbstractMaker(ABC):
    """Trains the networks of one zoo; a network is a function of the zoo's seed and its run."""

    message: str
    """What is done, for the progress bar, e.g. ``training``."""

    @abstractmethod
    def work(self, run: int) -> int:
        """Units of progress that the run takes."""

    @abstractmethod
    def submit(self, pool: ThreadPoolExecutor, shard: range, advance: Advance) -> Callable[[], Shard]:
        """Start the runs of a shard; the function that comes back waits for them.

        Rows start with ``id`` and ``seed`` and hold ``epoch``, ``split`` and ``diverged``; where the weights lie is
        added by the writer.
        """
