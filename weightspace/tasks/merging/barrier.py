"""Barriers of many pairs by several ways to align them, with 95 % intervals and the fidelity of the ends.

A curve that is flat says little if its ends are bad: every row holds what both networks, and the second one after
aligning, measure by themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from torch import Tensor, nn

from ..._errors import ConfigError
from ..._types import Params
from ...alignment import (
    Barrier,
    Evaluate,
    align,
    barrier,
    has_features,
    match_activations,
    repair,
)
from ...gauge import act
from ...spec import Example, SymmetrySpec, without_scales
from ..bootstrap import Estimate, mean_interval, resample

Move = Callable[[Params, Params], Params]
"""The second network moved towards the first: ``(a, b) -> b``."""

Correct = Callable[[Params, Params, Params, float], Params]
"""What is done to the network at ``t`` of a segment, given its ends: ``(params, a, b, t) -> params``."""

MEASURES = (
    "over_line",
    "over_mean",
    "midpoint",
    "accuracy_over_line",
    "accuracy_over_mean",
    "accuracy_midpoint",
)
"""Numbers of a :class:`weightspace.alignment.Barrier`, one column each."""


ROUNDING = 1e-6
"""Losses that differ by less, relative to the larger of them and 1, are equal."""


@final
@dataclass(frozen=True, eq=False)
class BarrierMethod:
    """A way to bring two networks together.

    Attributes:
        name: In tables and figures.
        move: What moves the second network; methods that share one share its result.
        correct: Correction of statistics between the ends, or ``None``.
    """

    name: str
    move: Move
    correct: Correct | None = None


@final
@dataclass(frozen=True, eq=False)
class PairBarrier:
    """One pair by one method.

    Attributes:
        pair: Place among the pairs.
        method: Name of the method.
        curve: Along the segment from the first network to the moved second one.
        given: Loss and accuracy of the second network as given. They must be those of the curve's end.
    """

    pair: int
    method: str
    curve: Barrier
    given: tuple[float, float | None]

    def worse_than(self, other: "PairBarrier") -> bool:
        """Whether the loss at the midpoint is above that of another method on the same pair, by more than rounding."""
        here, there = (float(row.curve.loss[len(row.curve.loss) // 2]) for row in (self, other))
        return here > there + ROUNDING * max(abs(there), 1.0)

    @property
    def infidelity(self) -> float:
        """How much moving changed the second network: difference of the losses, by magnitude; 0 but for rounding."""
        return abs(float(self.curve.loss[-1]) - self.given[0])

    def row(self) -> dict[str, float | int | str | None]:
        """All numbers of the pair but its curve."""
        ends = self.curve.accuracy
        return {
            "pair": self.pair,
            "method": self.method,
            **{name: getattr(self.curve, name) for name in MEASURES},
            "loss_a": float(self.curve.loss[0]),
            "loss_b": self.given[0],
            "loss_b_moved": float(self.curve.loss[-1]),
            "accuracy_a": None if ends is None else float(ends[0]),
            "accuracy_b": self.given[1],
            "accuracy_b_moved": None if ends is None else float(ends[-1]),
        }


@final
@dataclass(frozen=True, eq=False)
class Barriers:
    """Rows of all pairs and methods.

    Attributes:
        rows: Pair by pair, method by method.
        methods: Names, in order.
        groups: Of each pair; pairs of one group are drawn together in resamples.
    """

    rows: tuple[PairBarrier, ...]
    methods: tuple[str, ...]
    groups: tuple[int, ...]

    def of(self, method: str) -> list[PairBarrier]:
        """The rows of one method, by pair.

        Raises:
            ConfigError: if there is no such method.
        """
        if method not in self.methods:
            raise ConfigError(f"there is no method {method!r} among {', '.join(self.methods)}. Name one of them.")
        return [row for row in self.rows if row.method == method]

    def worse_than_naive(self) -> tuple[PairBarrier, ...]:
        """The rows whose loss at the midpoint is above that of the pair as given; nothing without the method naive."""
        if "naive" not in self.methods:
            return ()
        given = {row.pair: row for row in self.of("naive")}
        return tuple(row for row in self.rows if row.worse_than(given[row.pair]))

    def __str__(self) -> str:
        means = {name: float(np.mean([row.curve.over_mean for row in self.of(name)])) for name in self.methods}
        lines = [f"{name}: {value:.4g} nats over the mean of the ends" for name, value in means.items()]
        worse = [f"{row.method} (pair {row.pair})" for row in self.worse_than_naive()]
        return "\n".join([*lines, *([f"worse than naive at the middle: {', '.join(worse)}"] if worse else [])])

    def mean(self, method: str, measure: str = "over_line") -> Estimate | None:
        """Mean of a measure over pairs with its interval; ``None`` for accuracies that were not measured.

        Raises:
            ConfigError: if there is no such method or measure.
        """
        values = self._values(method, measure)
        return None if values is None else mean_interval(values, self._weights())

    def difference(self, method: str, other: str, measure: str = "over_line") -> tuple[Estimate, int] | None:
        """Mean of ``method``'s measure minus ``other``'s over pairs, and the number of pairs where it is larger.

        Below 0 is better than ``other``.
        """
        here, there = self._values(method, measure), self._values(other, measure)
        if here is None or there is None:
            return None
        return mean_interval(here - there, self._weights()), int((here > there).sum())

    def band(self, method: str, *, accuracy: bool = False) -> list[tuple[float, Estimate]] | None:
        """By place on the segment, mean loss (or accuracy) over pairs with its interval."""
        curves = [row.curve for row in self.of(method)]
        values = [curve.accuracy if accuracy else curve.loss for curve in curves]
        seen = [value.numpy() for value in values if value is not None]
        if len(seen) < len(curves):
            return None
        weights = self._weights()
        means = [mean_interval(column, weights) for column in np.stack(seen, 1)]
        return list(zip(curves[0].t.tolist(), means, strict=True))

    def _values(self, method: str, measure: str) -> np.ndarray | None:
        if measure not in MEASURES:
            raise ConfigError(f"there is no measure {measure!r}; it is one of {', '.join(MEASURES)}.")
        values = [getattr(row.curve, measure) for row in self.of(method)]
        return None if any(value is None for value in values) else np.array(values)

    def _weights(self) -> np.ndarray:
        return resample(np.array(self.groups))


def methods(
    spec: SymmetrySpec,
    *,
    restarts: int = 0,
    module: nn.Module | None = None,
    example: Example | None = None,
    batches: Sequence[Tensor | tuple[Tensor, ...]] | None = None,
) -> tuple[BarrierMethod, ...]:
    """As given, matched by weights (permutations only, the whole symmetry), and with inputs also by features.

    A symmetry of permutations only (:func:`weightspace.spec.without_scales`) has no row of its own for these. With
    inputs the last two come with repaired statistics too. "weights" and "features" are over the whole symmetry.
    Features, what neurons do on the inputs and what follows, are much the better guide between unrelated networks.

    Args:
        spec: The symmetry of the networks.
        restarts: Random starts of each alignment.
        module: The architecture, for certificates and statistics.
        example: Inputs for certificates; by default random ones, see :func:`weightspace.same_function`.
        batches: Inputs for features and statistics; without them, or without a module, those methods are left out, as
            are features where no layer makes a space alone.
    """

    def by(name: str, symmetry: SymmetrySpec) -> BarrierMethod:
        words = {"module": module, "example": example, "restarts": restarts}
        return BarrierMethod(name, lambda a, b: align(a, b, symmetry, **words).params)

    weights = by("weights", spec)
    order = without_scales(spec)
    permutations = () if order == spec else (by("permutations", order),)
    found = (BarrierMethod("naive", lambda a, b: b), *permutations, weights)  # noqa: ARG005
    if module is None or batches is None:
        return found
    if not has_features(spec, module):
        return (*found, repaired(weights, spec, module, batches))
    features = BarrierMethod("features", lambda a, b: act(match_activations(a, b, spec, module, batches), b, spec))
    return (
        *found,
        repaired(weights, spec, module, batches),
        features,
        repaired(features, spec, module, batches),
    )


def repaired(
    method: BarrierMethod, spec: SymmetrySpec, module: nn.Module, batches: Sequence[Tensor | tuple[Tensor, ...]]
) -> BarrierMethod:
    """The method, with the statistics of the networks between the ends repaired."""

    def correct(params: Params, a: Params, b: Params, t: float) -> Params:
        return repair(module, params, [a, b], spec, batches, weights=[1 - t, t])

    return BarrierMethod(f"{method.name} + repair", method.move, correct)


def barriers(
    pairs: Sequence[tuple[Mapping[str, Tensor], Mapping[str, Tensor]]],
    evaluate: Evaluate,
    ways: Sequence[BarrierMethod],
    *,
    points: int = 21,
    groups: Sequence[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Barriers:
    """Barriers of all pairs by all methods.

    Args:
        pairs: Two networks each.
        evaluate: See :func:`weightspace.alignment.barrier`.
        ways: What to compare: :func:`methods`, and any :class:`BarrierMethod` of one's own.
        points: Places on each segment; odd.
        groups: Of each pair, for intervals: give pairs that share a network one number. Default: each its own.
        progress: Called with curves done and curves in all.

    Raises:
        ConfigError: if there is no pair or method, two methods have one name, or ``groups`` is not one per pair.
        SpecMismatch: if a pair does not fit together, or a method returns another architecture.
    """
    if not pairs or not ways:
        raise ConfigError(f"there are {len(pairs)} pairs and {len(ways)} methods; give at least one of each.")
    names = tuple(method.name for method in ways)
    if len(set(names)) < len(names):
        raise ConfigError(f"methods must have different names, got {', '.join(names)}. Rename one of them.")
    if groups is not None and len(groups) != len(pairs):
        raise ConfigError(f"{len(groups)} groups are given for {len(pairs)} pairs. Give one for each.")
    rows = []
    for place, (first, second) in enumerate(pairs):
        a, b = dict(first), dict(second)
        measured = evaluate(b)
        loss, accuracy = measured if isinstance(measured, tuple) else (measured, None)
        moved: dict[Move, Params] = {}
        for method in ways:
            if method.move not in moved:
                moved[method.move] = method.move(a, b)
            curve = _curve(a, moved[method.move], method.correct, evaluate, points)
            rows.append(PairBarrier(place, method.name, curve, (loss, accuracy)))
            if progress is not None:
                progress(len(rows), len(pairs) * len(ways))
    return Barriers(tuple(rows), names, tuple(groups if groups is not None else range(len(pairs))))


def _curve(a: Params, b: Params, correct: Correct | None, evaluate: Evaluate, points: int) -> Barrier:
    if correct is None:
        return barrier(a, b, evaluate, points=points)
    return barrier(a, b, evaluate, points=points, after=lambda params, t: correct(params, a, b, t))
