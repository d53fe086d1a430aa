"""Many SIRENs fitted to images side by side: batched products, gradients written out, Adam."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .._types import Params
from ._flat import num_weights, views
from ._hyper import stream
from ._optimizers import make_optimizer
from .targets import SirenTarget, pixel_grid

MOST_AT_ONCE = 16
"""Networks per batched product: more gain nothing and leave the cache."""

_EVERY = 100  # steps between two calls of the progress callback


def fit_inrs(
    seeds: Sequence[int],
    target: SirenTarget,
    images: Float[Tensor, "b c h h"],
    *,
    steps: int,
    learning_rate: float,
    advance: Callable[[int], None] | None = None,
) -> Float[Tensor, "b w"]:
    """Flat weights of one SIREN an image, fitted by least squares.

    A step sees every second pixel of every second row; four steps see the whole image. Neighbouring pixels say
    nearly the same, so a step on all of them costs four times as much and gains little.

    Args:
        seeds: Of each network's initialization.
        target: Architecture.
        images: Intensities in [0, 1], one image a network; ``c`` is 1 or 3.
        steps: Of Adam.
        learning_rate: Constant.
        advance: Called now and then with the network-steps since the last call.
    """
    shapes = target.shapes()
    weights = torch.empty(len(seeds), num_weights(shapes))
    for row, seed in zip(weights, seeds, strict=True):
        row.copy_(torch.from_numpy(target.initial_weights(stream(seed, "init"))))
    grads = torch.empty_like(weights)
    params, grad_views = views(weights, shapes), views(grads, shapes)
    rate = torch.full((len(weights),), learning_rate)
    optimizer = make_optimizer("adam", rate, torch.zeros_like(rate), num_weights(shapes))
    parts = _lattices(images, target.offset)
    with torch.inference_mode():
        for step in range(steps):
            x, wanted = parts[step % len(parts)]
            square_error_gradient(params, x, wanted, target.omega, grad_views)
            optimizer.step(weights, grads)
            if advance is not None and (step + 1 == steps or (step + 1) % _EVERY == 0):
                advance(len(weights) * (step % _EVERY + 1))
    return weights


def square_error_gradient(
    params: Params,
    x: Float[Tensor, "p 2"],
    wanted: Float[Tensor, "b c p"],
    omega: float,
    out: Params,
) -> None:
    """Write each network's gradient of its mean square error into ``out``.

    Args:
        params: Stacked parameters of SIRENs with two hidden layers; may be views of one buffer.
        x: Coordinates, the same for all.
        wanted: Intensities less the offset.
        omega: Radians per unit of hidden pre-activation.
        out: Stacked tensors of the same shapes, overwritten.
    """
    states, slopes = [x.expand(len(wanted), -1, -1)], []
    for index in range(2):
        weight, bias = params[f"layers.{index}.weight"], params[f"layers.{index}.bias"].unsqueeze(1)
        z = torch.baddbmm(bias, states[-1], weight.transpose(1, 2), alpha=omega, beta=omega)
        states.append(z.sin())
        slopes.append(z.cos_())
    # Products that are narrow on the right take three times as long as their transposes, narrow on the left.
    weight, bias = params["layers.2.weight"], params["layers.2.bias"].unsqueeze(2)
    d = torch.baddbmm(bias, weight, states[2].transpose(1, 2)).sub_(wanted).mul_(2 / wanted[0].numel())
    # Products into a view of the flat buffer would run one network at a time: copy instead.
    out["layers.2.weight"].copy_(torch.bmm(d, states[2]))
    out["layers.2.bias"].copy_(d.sum(2))
    d = _through(d.transpose(1, 2), weight, omega).mul_(slopes[1])
    out["layers.1.weight"].copy_(torch.bmm(d.transpose(1, 2), states[1]))
    out["layers.1.bias"].copy_(d.sum(1))
    d = _through(d, params["layers.1.weight"], omega).mul_(slopes[0])
    out["layers.0.weight"].copy_(torch.bmm(states[0].transpose(1, 2), d).transpose(1, 2))
    out["layers.0.bias"].copy_(d.sum(1))


def _through(d: Float[Tensor, "b p o"], weight: Float[Tensor, "b o i"], omega: float) -> Float[Tensor, "b p i"]:
    """The gradient of a layer's pre-activations, in radians, given that of the next layer's."""
    return torch.baddbmm(d.new_empty(()), d, weight, beta=0, alpha=omega)


def _lattices(images: Float[Tensor, "b c h h"], offset: float) -> list[tuple[Tensor, Tensor]]:
    """Coordinates and wanted values of the four lattices of spacing two, the opposite ones in turn."""
    side = images.shape[-1]
    grid, flat = pixel_grid(side), images.flatten(2) - offset
    number = np.arange(side * side).reshape(side, side)
    out = []
    for row, column in ((0, 0), (1, 1), (0, 1), (1, 0)):
        chosen = torch.from_numpy(number[row::2, column::2].ravel())
        out.append((grid[chosen], flat[..., chosen].contiguous()))
    return out
