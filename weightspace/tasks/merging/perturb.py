"""Orbit copies: one network in many gauges, each drawn by a seed, with the elements that made them.

Source: arXiv:2511.12601, whose orbits are uniform permutations, fair signs, both, and for ReLU log-normal scales.
"""

import math
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ..._errors import ConfigError
from ..._types import Params
from ...gauge import Element, act, sample
from ...spec import NeuronSpace, SymmetrySpec

OrbitKind = Literal["permutations", "signs", "scales", "all"]
"""What moves: the order of neurons, their signs, their positive scales, or everything that the spec allows."""

SCALE_STD = 0.5
"""Standard deviation of the logarithm of positive scales, that of the paper's code."""


_MOST_NUMBERS = 1 << 27
"""Neurons of all copies together: a batch of elements takes 32 bytes for each."""


def perturb(
    params: Mapping[str, Tensor],
    spec: SymmetrySpec,
    kind: str = "all",
    *,
    num: int = 1,
    sigma: float = 0.0,
    seed: int = 0,
    scale_std: float = SCALE_STD,
    max_scale: float | None = None,
) -> tuple[Params, Element]:
    """``num`` copies of a network, or of each of stacked networks in turn, and the elements that moved them.

    Without noise every copy computes what its network does. The elements are those of the copies before the noise.

    Args:
        params: One network ``[*shape]``, or ``b`` stacked ones, of which copies ``k * num`` to ``(k + 1) * num`` are
            those of network ``k``.
        spec: Their symmetry.
        kind: What moves, see :data:`OrbitKind`.
        num: Copies of each network.
        sigma: Standard deviation of normal noise on every weight and bias, absolute; variances and counts stay.
        seed: Of the elements and of the noise; the same seed draws the same elements with and without noise.
        scale_std: Of the logarithm of positive scales.
        max_scale: If given, positive scales are log-uniform in [1/max_scale, max_scale] instead.

    Raises:
        ConfigError: if the spec has nothing of this kind, or a number is out of range.
        SpecMismatch: if the parameters do not fit the spec.
    """
    if num < 1:
        raise ConfigError(f"{num} copies are asked for; ask for at least one.")
    stacked = spec.check_values(params)
    lead = 1 if stacked is None else stacked
    elements = orbit_elements(spec, kind, num=lead * num, seed=seed, scale_std=scale_std, max_scale=max_scale)
    if stacked is not None:
        params = {name: value.repeat_interleave(num, 0) for name, value in params.items()}
    return add_noise(act(elements, params, spec), spec, sigma, seed), elements


def orbit_elements(
    spec: SymmetrySpec,
    kind: str,
    *,
    num: int,
    seed: int = 0,
    scale_std: float = SCALE_STD,
    max_scale: float | None = None,
) -> Element:
    """A batch of ``num`` elements of one kind, drawn by the seed; arguments and errors as of :func:`perturb`."""
    _check(spec, kind, scale_std, max_scale)
    neurons = sum(space.size for space in spec.free)
    if num * neurons > _MOST_NUMBERS:
        raise ConfigError(
            f"{num} copies of networks with {neurons} neurons are too many to draw at once. Ask for "
            f"{_MOST_NUMBERS // neurons} at most, and for others with another seed."
        )
    drawn = sample(spec, seed, num=num, max_scale=1.0 if max_scale is None else max_scale)
    sizes = torch.Generator().manual_seed(stream(seed, 1))
    perm, scale = {}, {}
    for space in spec.free:
        perm[space.name] = drawn.perm[space.name]
        if kind not in ("permutations", "all"):
            perm[space.name] = torch.arange(space.size).expand(num, -1)
        sign, size = drawn.scale[space.name].sign(), drawn.scale[space.name].abs()
        if max_scale is None and _has(space, "scales"):
            size = torch.exp(scale_std * torch.randn(num, space.size, generator=sizes, dtype=torch.float64))
        keep_sign, keep_size = kind in ("signs", "all"), kind in ("scales", "all")
        scale[space.name] = (sign if keep_sign else 1.0) * (size if keep_size else torch.ones_like(size))
    return Element(perm, scale)


def add_noise(params: Mapping[str, Tensor], spec: SymmetrySpec, sigma: float, seed: int) -> Params:
    """Parameters with normal noise of standard deviation ``sigma`` on every entry but variances and counts.

    Raises:
        ConfigError: if ``sigma`` is negative or not finite.
    """
    if not 0 <= sigma < math.inf:
        raise ConfigError(f"sigma is {sigma:g}; the standard deviation of noise is 0 or more.")
    if sigma == 0:
        return dict(params)
    generator = torch.Generator().manual_seed(stream(seed, 2))
    noisy = {}
    for name in spec.axes:
        value = params[name]
        # Noise could make a variance negative; it is no weight either.
        variance = any(abs(part.power) > 1 for axis in spec.axes[name] for part in axis.parts)
        if value.is_floating_point() and not variance:
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            value = value + (sigma * noise).to(value)
        noisy[name] = value
    return noisy


def stream(seed: int, *keys: int) -> int:
    """A seed for torch that is a function of a seed and of what it is used for."""
    return int(np.random.SeedSequence(seed, spawn_key=keys).generate_state(1, np.uint64)[0] >> 1)


def _check(spec: SymmetrySpec, kind: str, scale_std: float, max_scale: float | None) -> None:
    if kind not in get_args(OrbitKind):
        raise ConfigError(f"there are no copies by {kind!r}; choose one of: {', '.join(get_args(OrbitKind))}.")
    if not 0 <= scale_std < math.inf:
        raise ConfigError(f"scale_std is {scale_std:g}; the standard deviation of log scales is 0 or more.")
    if max_scale is not None and not 1 <= max_scale < math.inf:
        raise ConfigError(f"max_scale is {max_scale:g}; scales lie in [1/max_scale, max_scale], so give 1 or more.")
    kinds = [each for each in ("permutations", "signs", "scales") if any(_has(space, each) for space in spec.free)]
    if kind not in kinds and not (kind == "all" and kinds):
        have = f"they have {' and '.join(kinds)}" if kinds else "nothing can be moved in them"
        hint = f" Choose {kinds[0]} or all." if kinds else ""
        raise ConfigError(f"networks of this architecture ({spec}) have no {kind}: {have}.{hint}")


def _has(space: NeuronSpace, kind: str) -> bool:
    if kind == "permutations":
        return space.size > 1 and not (space.ordered and space.within is None)
    return space.scale in {"signs": ("sign", "nonzero"), "scales": ("positive", "nonzero")}[kind]
