"""The rows of a results table: what each method does to, or says of, the test networks."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, final

import torch
from torch import nn

from .._types import Progress
from ._dataset import Networks

A = TypeVar("A")


@final
@dataclass(frozen=True)
class Answer(Generic[A]):
    """What a method returns for the test networks (new networks, or what it says of them), the seconds that took for
    all of them, and choices worth knowing."""

    value: A
    seconds: float
    detail: dict[str, Any] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Context:
    """What a method may read beside its task.

    Attributes:
        test: The networks of the table.
        model: A trained model of the run, by name, in eval mode.
        cell: The numbers of another row, if they are there already.
        per_pass: Networks that go through a model together.
        seed: Of the run.
        progress: For what takes long.
    """

    test: Networks
    model: Callable[[str], nn.Module]
    cell: Callable[[str], dict[str, Any] | None]
    per_pass: int
    seed: int
    progress: Progress | None = None


@final
@dataclass(frozen=True)
class Method(Generic[A]):
    """One row of the table.

    ``model`` names the trained model that its numbers follow from (training it further makes the row stale), ``after``
    the row that it reads, and ``settings`` are the values of the configuration that it follows from.
    """

    name: str
    label: str
    needs_data: bool
    answer: Callable[[Context], Answer[A]]
    model: str | None = None
    after: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def timed(work: Callable[[], A]) -> Answer[A]:
    """What ``work`` returns, with its wall time."""
    began = time.perf_counter()
    with torch.no_grad():
        value = work()
    return Answer(value, time.perf_counter() - began)
