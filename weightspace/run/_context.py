"""What the rows of the results table read, and what they return."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from .._types import Params
from .config import Run
from .material import Material, Progress


@final
@dataclass(frozen=True)
class Changed:
    """What a method returns: new networks, seconds it took for all of them, and choices worth knowing."""

    params: Params
    seconds: float
    detail: dict[str, Any]


@final
@dataclass(frozen=True)
class Context:
    """What a method may read: the run, its material, the test networks, and rows that were computed before."""

    config: Run
    folder: Path
    material: Material
    test: Params
    cells: Callable[[str], dict[str, Any] | None]
    progress: Progress | None


def timed(work: Callable[[], Params]) -> Changed:
    """The networks that ``work`` returns, with its wall time."""
    began = time.perf_counter()
    with torch.no_grad():
        params = work()
    return Changed(params, time.perf_counter() - began, {})
