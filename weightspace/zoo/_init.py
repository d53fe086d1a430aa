"""Initial weights of a run, from its own stream."""

import math
from collections.abc import Mapping

import numpy as np
from scipy.special import ndtr, ndtri

from ._hyper import Hyper


def initial_weights(
    hyper: Hyper, shapes: Mapping[str, tuple[int, ...]], seed: np.random.SeedSequence
) -> dict[str, np.ndarray]:
    """Float64 initial parameters by name; biases are zero.

    Glorot: variance 2 / (fan in + fan out), Glorot and Bengio 2010. He: 2 / fan in, arXiv:1502.01852. Orthogonal:
    orthonormal rows or columns, arXiv:1312.6120. Truncated normal: cut at two standard deviations.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    return {name: _weight(hyper, shape, rng) if len(shape) > 1 else np.zeros(shape) for name, shape in shapes.items()}


def _weight(hyper: Hyper, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    fan_out, fan_in = shape[0], math.prod(shape[1:])
    if hyper.init == "orthogonal":
        tall = rng.standard_normal((max(fan_out, fan_in), min(fan_out, fan_in)))
        q, r = np.linalg.qr(tall)
        # Signs of R's diagonal make the draw uniform over orthogonal matrices.
        q = q * np.sign(np.diag(r))
        return (q if fan_out >= fan_in else q.T).reshape(shape)
    if hyper.init == "truncated_normal":
        tail = ndtr(-2.0)
        return _std(hyper) * ndtri(tail + (1 - 2 * tail) * rng.random(shape))
    if hyper.init == "normal":
        return _std(hyper) * rng.standard_normal(shape)
    variance = 2 / fan_in if hyper.init == "he" else 2 / (fan_in + fan_out)
    return math.sqrt(variance) * rng.standard_normal(shape)


def _std(hyper: Hyper) -> float:
    if hyper.init_std is None:
        raise ValueError(f"run {hyper.id}: initialization {hyper.init!r} needs a standard deviation")
    return hyper.init_std
