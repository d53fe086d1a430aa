"""Loss along the segment between two networks, and how far it rises above its ends."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.func import functional_call

from .._errors import ConfigError, SpecMismatch
from .._types import Params
from ._whole import check_whole

Evaluate = Callable[[Params], float | tuple[float, float]]
"""Loss of one network (lower is better), or loss and accuracy (a fraction in [0, 1])."""

After = Callable[[Params, float], Params]
"""What is done to the network at a place ``t`` of the segment before it is evaluated."""


@final
@dataclass(frozen=True, eq=False)
class Barrier:
    """Loss, and accuracy where it was measured, along a segment.

    The two definitions differ where the ends do: against the line a straight rise from the better to the worse end is
    no barrier, against the mean of the ends half of it is.

    Attributes:
        t: Places, evenly spaced: 0 is the first network, 1 the second.
        loss: Loss at each place, in the units of what measured it (nats for cross-entropy).
        accuracy: Accuracy at each place (a fraction), or ``None``.
    """

    t: Float[Tensor, " p"]
    loss: Float[Tensor, " p"]
    accuracy: Float[Tensor, " p"] | None

    @property
    def over_mean(self) -> float:
        """Largest loss, less the mean of the two ends' losses."""
        return float(self.loss.max() - (self.loss[0] + self.loss[-1]) / 2)

    @property
    def over_line(self) -> float:
        """Largest amount by which the loss exceeds the straight line between the ends' losses."""
        return float((self.loss - _line(self.loss, self.t)).max())

    @property
    def midpoint(self) -> float:
        """Loss halfway, less the mean of the ends: the same in both definitions."""
        return float(self.loss[len(self.t) // 2] - (self.loss[0] + self.loss[-1]) / 2)

    @property
    def accuracy_over_mean(self) -> float | None:
        """Mean of the ends' accuracies, less the smallest on the way."""
        if self.accuracy is None:
            return None
        return float((self.accuracy[0] + self.accuracy[-1]) / 2 - self.accuracy.min())

    @property
    def accuracy_over_line(self) -> float | None:
        """Largest amount by which the accuracy falls below the straight line between the ends' accuracies."""
        return None if self.accuracy is None else float((_line(self.accuracy, self.t) - self.accuracy).max())

    @property
    def accuracy_midpoint(self) -> float | None:
        """Mean of the ends' accuracies, less the accuracy halfway."""
        if self.accuracy is None:
            return None
        return float((self.accuracy[0] + self.accuracy[-1]) / 2 - self.accuracy[len(self.t) // 2])

    def __str__(self) -> str:
        ends = f"loss {float(self.loss[0]):.4g} to {float(self.loss[-1]):.4g}"
        text = f"{ends}, barrier {self.over_line:.4g} above the line, {self.over_mean:.4g} above the mean of the ends"
        if self.accuracy is None or self.accuracy_over_line is None:
            return text
        low, high = 100 * float(self.accuracy[0]), 100 * float(self.accuracy[-1])
        return f"{text}; accuracy {low:.1f} % to {high:.1f} %, barrier {100 * self.accuracy_over_line:.1f} points"


def barrier(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    evaluate: Evaluate,
    *,
    points: int = 21,
    after: After | None = None,
) -> Barrier:
    """Loss (and accuracy) along the segment from ``a`` to ``b``; align ``b`` to ``a`` first.

    One element that moves *both* networks changes nothing, since it acts linearly: the networks on the segment move
    along. Moving *one* of them changes the curve. So "naive" is about the gauges that the networks happen to come in,
    scales of ReLU neurons included, and the curve after aligning is about the element found, whichever common gauge
    (:func:`align` leaves the pair in that of ``a``).

    Args:
        a: Parameters at 0.
        b: Parameters at 1.
        evaluate: Called with the parameters at each place; integers are those of ``a``, number types too.
        points: Places on the segment, ends included; odd, so that one is halfway.
        after: Applied between the ends (batch statistics, :func:`repair`); the ends are measured as they are.

    Raises:
        SpecMismatch: if a name or shape of ``b`` differs from ``a``'s, an entry is not finite, or whole numbers differ.
        ConfigError: if ``points`` is even or below 3, or a measured value is not a number.

    Source: against the mean of the ends Frankle et al. 2020, arXiv:1912.05671; against the line Entezari et al. 2022,
    arXiv:2110.06296.
    """
    if points < 3 or points % 2 == 0:
        raise ConfigError(f"points is {points}; give an odd number of at least 3, so that one is halfway.")
    _check_pair(a, b)
    places = torch.linspace(0, 1, points, dtype=torch.float64)
    measured = []
    for place, t in enumerate(places.tolist()):
        params = between(a, b, t)
        inside = 0 < place < points - 1
        measured.append(_measured(evaluate(after(params, t) if after is not None and inside else params), t))
    losses = torch.tensor([loss for loss, _ in measured], dtype=torch.float64)
    seen = [accuracy for _, accuracy in measured if accuracy is not None]
    return Barrier(places, losses, torch.tensor(seen, dtype=torch.float64) if seen else None)


def between(a: Mapping[str, Tensor], b: Mapping[str, Tensor], t: float) -> Params:
    """The parameters at ``t`` of the segment, exactly ``a`` and ``b`` at its ends; integers are those of ``a``."""
    if t in (0, 1):
        return {name: value.clone() for name, value in (b if t else a).items()}
    mixed = {}
    for name, value in a.items():
        if value.is_floating_point():
            mixed[name] = ((1 - t) * value.double() + t * b[name].to(value.device).double()).to(value)
        else:
            mixed[name] = value.clone()
    return mixed


def classification(
    module: nn.Module, inputs: Shaped[Tensor, "p ..."], labels: Int[Tensor, "p ..."], *, chunk: int = 2000
) -> Evaluate:
    """What measures mean cross-entropy in nats, and accuracy, of a classifier's parameters on fixed data.

    Args:
        module: The architecture, run in eval mode and left as it was; classes along the last axis of what it returns.
        inputs: One sample each.
        labels: Their classes; of a language model one at each place, the next token.
        chunk: Samples run at once.
    """

    def evaluate(params: Params) -> tuple[float, float]:
        modes = {part: part.training for part in module.modules()}
        module.eval()
        loss, right = 0.0, 0
        try:
            with torch.no_grad():
                for x, y in zip(inputs.split(chunk), labels.split(chunk), strict=True):
                    logits = functional_call(module, params, (x,), tie_weights=False)
                    loss += float(nn.functional.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="sum"))
                    right += int((logits.argmax(-1) == y).sum())
        finally:
            for part, mode in modes.items():
                part.training = mode
        return loss / labels.numel(), right / labels.numel()

    return evaluate


def _check_pair(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    for name in [*a, *b]:
        if name not in a or name not in b or a[name].shape != b[name].shape:
            here = list(a[name].shape) if name in a else "absent"
            there = list(b[name].shape) if name in b else "absent"
            raise SpecMismatch(
                f"parameter {name!r} is {here} in the first network and {there} in the second. "
                "There is a segment only between networks of one architecture."
            )
        check_whole(name, [a[name], b[name]])
    for which, params in (("first", a), ("second", b)):
        for name, value in params.items():
            if not bool(value.isfinite().all()):
                raise SpecMismatch(f"parameter {name!r} of the {which} network has entries that are not finite.")


def _measured(value: float | tuple[float, float], t: float) -> tuple[float, float | None]:
    loss, accuracy = (float(value[0]), float(value[1])) if isinstance(value, tuple) else (float(value), None)
    if math.isnan(loss) or (accuracy is not None and math.isnan(accuracy)):
        raise ConfigError(f"what was measured at {t:g} of the segment is not a number: {value}. Check the evaluation.")
    return loss, accuracy


def _line(values: Float[Tensor, " p"], t: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
    return (1 - t) * values[0] + t * values[-1]
