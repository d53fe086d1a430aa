"""Groups of networks on several cores: one thread a group, one core a thread.

Products of this size gain little from two cores inside one operation and lose a hundredfold when another program
holds one of them. A thread for each group is as fast, steady, and gives the same bytes for any number of threads.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import final

import torch

from .._types import Progress


@final
class Advance:
    """Counts model-images for a progress callback, from several threads; stops them all when told to."""

    def __init__(self, progress: Progress | None, total: int, message: str) -> None:
        self._progress, self._total, self._message = progress, total, message
        self._done, self._lock, self._stopped = 0, threading.Lock(), False

    def __call__(self, num: int) -> None:
        if self._stopped:
            raise InterruptedError("stopped: another part of the work failed or was interrupted")
        with self._lock:
            self._done += num
            if self._progress is not None:
                self._progress(self._done, self._total, self._message)

    def stop(self) -> None:
        """Make the next call raise, in every thread."""
        self._stopped = True


@contextmanager
def workers(advance: Advance | None = None) -> Iterator[ThreadPoolExecutor]:
    """A pool with as many threads as torch uses now; inside, each operation runs on one core.

    When the block is left by an exception, ``advance`` stops the threads that are still at work.
    """
    num = torch.get_num_threads()
    pool = ThreadPoolExecutor(max_workers=num)
    torch.set_num_threads(1)
    try:
        yield pool
    except BaseException:
        if advance is not None:
            advance.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(num)
