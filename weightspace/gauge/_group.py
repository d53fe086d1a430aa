"""Groups of equal things when equality is dear and a vector says cheaply what may be equal."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

Pair = tuple[int, int]
Compare = Callable[[Sequence[Pair]], Sequence[float]]
"""Called with pairs of rows; says how far apart each is."""


def groups(
    vectors: Float[Tensor, "n _k"], tolerance: Float[Tensor, " n"], compare: Compare, limit: float
) -> tuple[list[int], list[float]]:
    """For every row the first row of its group, and how far it is from that row.

    The rows are taken in order. A row joins a group whose first row is near by its vector (no entry differs by more
    than the tolerances of both) and at most ``limit`` away by ``compare``; if there is none, it begins a group. Equal
    rows whose vectors are not near are missed.

    Args:
        vectors: A vector for each row, the same for equal rows up to the tolerance.
        tolerance: How far noise may move each entry of a row's vector.
        compare: Gets all the pairs, first row first, that can be decided at one time.
        limit: The largest distance that counts as equal.
    """
    near = _Near(vectors, tolerance)
    first, distance = list(range(len(vectors))), [0.0] * len(vectors)
    rows = np.arange(len(vectors))
    # Every row left has been compared with all the first rows near it, so a row that no earlier one is near begins a
    # group. A row near one that waits must wait as well: the other may begin the group that it belongs to.
    while len(rows):
        waits, pairs = np.zeros(len(rows), dtype=bool), []
        for place, row in enumerate(rows):
            later = np.arange(place + 1, len(rows))
            if waits[place]:
                later = later[~waits[later]]
            found = later[near.to(int(row), rows[later])]
            if not waits[place]:
                pairs += [(int(row), int(other)) for other in rows[found]]
            waits[found] = True
        for (begins, other), gap in zip(pairs, compare(pairs) if pairs else [], strict=True):
            if gap <= limit and first[other] == other:
                first[other], distance[other] = begins, float(gap)
        rows = np.array([row for row in rows[waits] if first[row] == row], dtype=np.int64)
    return first, distance


class _Near:
    """Which rows are near a row; looks first at the entry in which rows differ most."""

    def __init__(self, vectors: Tensor, tolerance: Tensor) -> None:
        values, self._tolerance = vectors.numpy(), tolerance.numpy()
        order = np.argsort(-values.std(0), kind="stable") if values.size else np.arange(values.shape[1])
        self._values = np.ascontiguousarray(values[:, order])
        self._widest = np.ascontiguousarray(self._values[:, 0]) if values.shape[1] else np.zeros(len(values))

    def to(self, row: int, others: np.ndarray) -> np.ndarray:
        """A mask over ``others``."""
        room = self._tolerance[row] + self._tolerance[others]
        mask = np.abs(self._widest[others] - self._widest[row]) <= room
        likely = mask.nonzero()[0]
        gaps = np.abs(self._values[others[likely]] - self._values[row])
        mask[likely] = (gaps <= room[likely, None]).all(1)
        return mask
