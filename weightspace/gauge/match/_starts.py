"""Where descent starts, and the best end of the descents from there."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .._element import Element, identity, sample
from ._descent import descend
from ._problem import Problem, distance
from ._step import move
from ._sweep import known_share, sweep

EXACT = 1e-20
"""Squared distance, relative to the squared norm, at which two networks are one."""

Progress = Callable[[int, int], None]

CLEARLY = 2.0
"""How many times as much one side must tell for a sweep from the other one to be left out: from a side that tells much
less, a sweep is nearer only by chance."""


Start = tuple[str, Element, Bool[Tensor, " b"]]
"""Name and element of a start, and the pairs that it is for."""


def starts(task: Problem, restarts: int, seed: int, progress: Progress | None = None) -> Iterator[Start]:
    """Every start: the sweeps, the identity, and random ones.

    ``progress`` is called with the families that a sweep has matched, and their number.
    """
    onward, backward = task.families, task.families[::-1]
    every = torch.ones(task.num, dtype=torch.bool)
    ahead, back = (known_share(task, order) for order in (onward, backward))
    for name, order, much in (
        ("sweep", onward, ahead * CLEARLY >= back),
        ("backward", backward, back * CLEARLY >= ahead),
    ):
        which = every if restarts else much
        if order and bool(which.any()):
            yield name, sweep(task, order, progress), which
    yield "identity", identity(task.spec).expand(task.num), every
    for place in range(restarts):
        drawn = sample(task.spec, seed + place, num=task.num, max_scale=1.0)
        yield f"random {place}", drawn, every


def begin(
    task: Problem, near: float, *, restarts: int = 0, seed: int = 0, progress: Progress | None = None
) -> tuple[Element, list[Element], dict[str, Float[Tensor, " b"]]]:
    """The nearest start of each pair, all starts, and the squared distance at each; infinite where it was not tried.

    Without restarts, none is tried for a pair that has one at a squared distance of ``near``, relative to the norm.
    """
    began: dict[str, Tensor] = {}
    every: list[Element] = []
    nearest, least = identity(task.spec).expand(task.num), torch.full((task.num,), torch.inf, dtype=torch.float64)
    for name, start, which in starts(task, restarts, seed, progress):
        far = distance(task.left, move(start, task.right, task.spec), task.weighed)
        if not restarts:
            which = which & (least > near * task.size)
        began[name] = far.where(which, torch.inf)
        # A later start must be clearly nearer: rounding would else choose between equal ones.
        nearest = _merged(began[name] < least * (1 - 1e-9), start, nearest)
        least = torch.minimum(least, began[name])
        every.append(start)
        if not restarts and bool((least <= near * task.size).all()):
            break
    return nearest, every, began


def best_start(
    task: Problem, restarts: int, seed: int, progress: Progress | None = None
) -> tuple[Element, Float[Tensor, " b"], dict[str, Float[Tensor, " b"]]]:
    """The best end of the descents of each pair, its squared distance, and the squared distance of every start."""
    nearest, ends, began = begin(task, task.rounding, restarts=restarts, seed=seed)
    if not restarts or bool((torch.stack(list(began.values())).amin(0) <= EXACT * task.size).all()):
        ends = [nearest]
    best, far = descend(task, ends[0])
    for place, start in enumerate(ends[1:]):
        if progress is not None:
            progress(place + 1, len(ends))
        end, reached = descend(task, start)
        best, far = _merged(reached < far * (1 - 1e-9), end, best), torch.minimum(far, reached)
    if progress is not None:
        progress(len(ends), len(ends))
    return best, far, began


def _merged(which: Tensor, first: Element, second: Element) -> Element:
    """The first element for the pairs ``which``, the second for the others."""
    return second.put(which.nonzero()[:, 0], first[which])
