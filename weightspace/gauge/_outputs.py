"""The outputs of two networks of one architecture, compared on inputs of several sizes and judged by rounding.

What rounding explains is measured: both networks are run again with every number moved at random by as much as its
type rounds. So the judgement follows the number types, the depth, and how strongly a network amplifies what it reads.
Outputs that agree say something only where outputs change with the input by more than that.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._errors import SpecMismatch
from .._types import Params
from ..spec import Example, Inputs
from ._probes import cast, groups_of_inputs, random_like, runnable
from ._rounding import rounded_otherwise, rounding
from ._verify import _compare, _outputs, _probes

TIMES = 4.0
"""What counts as rounding, in units of what a random rounding of both networks does: one draw is not the worst case."""

FEW, MOST = 64, 8
"""With fewer outputs than this a difference is a poor measure of noise; then several roundings are drawn."""


@final
@dataclass(frozen=True, eq=False)
class Outputs:
    """How far the outputs of two networks are apart; numbers are relative to the size of the outputs.

    Attributes:
        difference: The largest difference on the inputs named here, those on which it stands out most.
        explained: What rounding explains of it there.
        spread: The largest difference between outputs of unrelated inputs, over all inputs tried.
        telling: Whether that is more than rounding explains: outputs that do not change agree with anything.
        differ_on: How many of the inputs show a difference that rounding does not explain, as a fraction.
        inputs: The inputs named, as the module takes them.
        kind: What these are, in words.
    """

    difference: float
    explained: float
    spread: float
    telling: bool
    differ_on: float
    inputs: Any
    kind: str

    @property
    def agree(self) -> bool:
        """Whether rounding explains every difference."""
        return self.differ_on == 0

    def __str__(self) -> str:
        verb = "agree up to" if self.agree else "differ by"
        return (
            f"outputs {verb} {self.difference:.2g} of their size on {self.kind}; rounding explains {self.explained:.2g}"
        )


@final
@dataclass(frozen=True, eq=False)
class _Trial:
    """What one input showed, of the output tensor that stands out most."""

    inputs: Inputs
    kind: str
    difference: float
    explained: float
    spread: float
    telling: bool

    @property
    def excess(self) -> float:
        return self.difference / self.explained


def compare_outputs(
    module: nn.Module,
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    example: Example | None = None,
    bits: int | None = None,
) -> Outputs:
    """How far the outputs of the module with ``a`` and with ``b`` are apart, and what rounding explains of it.

    Computed in float64 where the network runs in it. Inputs are the example, where it is more than a shape (entries
    that differ), and random ones like it: normal numbers of three sizes, tokens that every embedding has.

    Args:
        module: The architecture; left as it was.
        a: Parameters of one network, of any floating-point types.
        b: Parameters of another one.
        example: Its input, or a tuple of its inputs; by default guessed as in :func:`weightspace.same_function`.
        bits: As in :func:`weightspace.same`.

    Raises:
        ConfigError: if the module is on the meta device, or cannot be run.
        SpecMismatch: if the parameters are not the module's, or no output is finite.
    """
    for params in (a, b):
        _compare(dict(module.state_dict()), dict(params))
    args = Inputs.of(_probes(module, 0) if example is None else example)
    net, dtype = runnable(module, a, args)
    trials = [
        trial for group in groups_of_inputs(net, args, dtype) for trial in _Pair(net, dtype, a, b, bits).tried(*group)
    ]
    if not trials:
        raise SpecMismatch(
            "an output is not finite, so the two networks cannot be compared. Give inputs that they are made for."
        )
    worst = max(trials, key=lambda trial: trial.excess)
    return Outputs(
        worst.difference,
        worst.explained,
        max(trial.spread for trial in trials),
        any(trial.telling for trial in trials),
        sum(trial.excess > 1 for trial in trials) / len(trials),
        worst.inputs.example,
        worst.kind,
    )


def output_vector(module: nn.Module, params: Mapping[str, Tensor], example: Example) -> Float[Tensor, " _k"]:
    """All outputs on one random input like the example, the same for all networks of an architecture.

    Raises:
        ConfigError: if the module cannot be run.
    """
    args = Inputs.of(example)
    net, dtype = runnable(module, params, args)
    outputs = _outputs(net, cast(params, dtype), random_like(net, args, dtype))
    return torch.cat([value.double().flatten() for value in outputs])


@final
class _Pair:
    """Two networks, run as they are and with other roundings."""

    def __init__(
        self, net: nn.Module, dtype: torch.dtype, a: Mapping[str, Tensor], b: Mapping[str, Tensor], bits: int | None
    ) -> None:
        self._net, self._floor = net, 16 * torch.finfo(dtype).eps
        self._exact = [cast(params, dtype) for params in (a, b)]
        # A network that runs in float32 only rounds its float64 weights.
        coarse = [{n: v.to(dtype) if v.dtype == torch.float64 else v for n, v in params.items()} for params in (a, b)]
        self._room = [{n: rounding(v.detach().cpu(), bits) for n, v in params.items()} for params in coarse]

    def tried(self, kind: str, inputs: list[Inputs]) -> Iterator[_Trial]:
        """What each of some inputs of one kind shows; inputs on which neither network is finite show nothing."""
        pairs = [(args, *(self._run(params, args) for params in self._exact)) for args in inputs]
        for args, one, other in pairs:
            if _finite(one) != _finite(other):
                yield _Trial(args, kind, math.inf, 1.0, 0.0, telling=False)
        pairs = [(args, one, other) for args, one, other in pairs if _finite(one) and _finite(other)]
        if not pairs:
            return
        noise = self._noise(*pairs[0])
        spreads = _spreads([one for _, one, _ in pairs])
        for args, one, other in pairs:
            sizes = [max(_largest(x), _largest(y)) or 1.0 for x, y in zip(one, other, strict=True)]
            room = [TIMES * max(n / size, self._floor) for n, size in zip(noise, sizes, strict=True)]
            gaps = [_largest(x - y) / size for x, y, size in zip(one, other, sizes, strict=True)]
            spread = [value / size for value, size in zip(spreads, sizes, strict=True)]
            worst = max(range(len(gaps)), key=lambda k: gaps[k] / room[k])
            telling = any(far > 2 * allowed for far, allowed in zip(spread, room, strict=True))
            yield _Trial(args, kind, gaps[worst], room[worst], max(spread), telling)

    def _noise(self, args: Inputs, *exact: list[Tensor]) -> list[float]:
        """By output tensor, how far a rounding of each network moves it, summed over both."""
        generator = torch.Generator().manual_seed(0)
        num = max(1, min(MOST, FEW // max(1, sum(value.numel() for value in exact[0]))))
        total = [0.0] * len(exact[0])
        for params, rooms, outputs in zip(self._exact, self._room, exact, strict=True):
            worst = [0.0] * len(outputs)
            for _ in range(num):
                moved = self._run(rounded_otherwise(params, rooms, generator), args)
                far = [_largest(x - y) for x, y in zip(moved, outputs, strict=True)]
                worst = [max(pair) for pair in zip(worst, far, strict=True)]
            total = [sum(pair) for pair in zip(total, worst, strict=True)]
        return total

    def _run(self, params: Params, args: Inputs) -> list[Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # what draws numbers draws the same ones for both
            return [value.double() for value in _outputs(self._net, params, args)]


def _spreads(outputs: list[list[Tensor]]) -> list[float]:
    """By output tensor, the largest difference between unrelated inputs: rows of one, or the inputs."""
    if len(outputs) == 1:
        outputs = [outputs[0], [value.roll(1, 0) if value.ndim else value for value in outputs[0]]]
    first = outputs[0]
    return [max(_largest(other[k] - first[k]) for other in outputs[1:]) for k in range(len(first))]


def _finite(outputs: list[Tensor]) -> bool:
    return all(bool(value.isfinite().all()) for value in outputs)


def _largest(value: Tensor) -> float:
    return float(value.abs().max()) if value.numel() else 0.0
