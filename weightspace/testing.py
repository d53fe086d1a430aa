"""A test kit for anything that reads or writes weights: invariance, equivariance, function preservation.

Errors are divided by the *spread*, the difference between the results for unrelated networks: a metanetwork
that ignores its input is perfectly invariant, and an error of 1e-6 says nothing next to outputs that differ by
1e-8. Each assertion also fails when the spread itself is dead.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ._types import Params
from .gauge import Element, act, same_function, sample
from .spec import Example, SymmetrySpec, linear_part

Functional = Callable[[Params], Tensor]
Operator = Callable[[Params], Mapping[str, Tensor]]

TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-4}
"""Default tolerance on errors relative to the spread, by number type."""


def random_params(spec: SymmetrySpec, num: int, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Params:
    """``num`` unrelated random networks, stacked: weights of variance 1/fan-in, biases of deviation 0.3.

    Running variances (axes with an offset) are positive.
    """
    generator = torch.Generator().manual_seed(seed)
    params = {}
    for name, axes in spec.params:
        shape, parts = spec.shape(name), [axis.parts[0] for axis in axes]
        value = torch.randn((num, *shape), generator=generator, dtype=torch.float64)
        target = next((dim for dim, part in enumerate(parts) if part.power > 0), 0)
        joins = any(part.power < 0 for part in parts)
        value *= max(1, _numel(shape) // shape[target]) ** -0.5 if joins else 0.3
        params[name] = (value.exp() if any(part.offset for part in parts) else value).to(dtype)
    return params


def invariance_error(
    model: Functional,
    spec: SymmetrySpec,
    params: Params | None = None,
    element: Element | None = None,
    *,
    seed: int = 0,
) -> tuple[float, float]:
    """Largest change of the output when the gauge acts on the networks, and the spread between the networks.

    Args:
        model: Maps stacked parameters to ``[b, ...]``.
        spec: The symmetry to test, not necessarily the model's own.
        params: Stacked networks, at least two. Default: four random ones.
        element: What acts on them. Default: four random elements, scales in [1/64, 64].
        seed: Of the defaults.
    """
    params, element = _defaults(model, spec, params, element, seed)
    with torch.no_grad():
        here, there = model(params), model(act(element, params, spec))
    return float((here - there).abs().max()), float((here - here.roll(1, 0)).abs().max())


def equivariance_error(
    model: Operator,
    spec: SymmetrySpec,
    params: Params | None = None,
    element: Element | None = None,
    *,
    seed: int = 0,
) -> tuple[float, float]:
    """Largest error of ``model(g params) = g model(params)`` relative to the changes made, and how large these are.

    Per parameter tensor the error is divided by max |delta|, delta = model(params) - params, after the gauge
    has acted on both; the second number is the smallest max |delta| / max |params| over weight tensors.

    Args:
        model: Maps stacked parameters to stacked parameters.
        spec: The symmetry to test, not necessarily the model's own.
        params: Stacked networks. Default: four random ones.
        element: What acts on them. Default: four random elements, scales in [1/64, 64].
        seed: Of the defaults.
    """
    params, element = _defaults(model, spec, params, element, seed)
    with torch.no_grad():
        delta = _difference(model(params), params)
        moved = act(element, params, spec)
        want, have = act(element, delta, linear_part(spec)), _difference(model(moved), moved)
    ends = {name: sum(any(part.space for part in axis.parts) for axis in axes) for name, axes in spec.axes.items()}
    acted = [name for name, num in ends.items() if num]
    errors = [_ratio((want[name] - have[name]).abs(), want[name].abs()) for name in acted]
    worst = float(torch.tensor(errors or [0.0], dtype=torch.float64).max())  # max() of numbers may drop a NaN
    changes = [_ratio(delta[name].abs(), params[name].abs()) for name in ([n for n in acted if ends[n] > 1] or acted)]
    alive = min(changes, default=0.0)
    return worst, alive


def assert_invariant(
    model: Functional,
    spec: SymmetrySpec,
    params: Params | None = None,
    *,
    seed: int = 0,
    tolerance: float | None = None,
    min_spread: float = 1e-2,
) -> None:
    """Fails unless the gauge leaves ``model``'s output alone, relative to the spread between networks.

    Args:
        model: Maps stacked parameters to ``[b, ...]``.
        spec: The symmetry to test.
        params: Stacked networks, at least two. Default: four random ones.
        seed: Of the random networks and elements.
        tolerance: On error / spread. Default: 1e-7 in float64, 1e-4 in float32.
        min_spread: Smallest spread relative to the outputs' size that is accepted as alive.
    """
    params, element = _defaults(model, spec, params, None, seed)
    error, spread = invariance_error(model, spec, params, element)
    with torch.no_grad():
        size = float(model(params).abs().max())
    assert spread > min_spread * size, (
        f"the output hardly depends on the network: it differs by {spread:.2g} between unrelated networks, "
        f"its size is {size:.2g}; invariance would hold vacuously"
    )
    limit = TOLERANCE[_dtype(params)] if tolerance is None else tolerance
    assert error <= limit * spread, (
        f"not invariant: the gauge changes the output by {error:.2g}, {error / spread:.2g} of the spread "
        f"{spread:.2g} between networks; the tolerance is {limit:.0e}"
    )


def assert_equivariant(
    model: Operator,
    spec: SymmetrySpec,
    params: Params | None = None,
    *,
    seed: int = 0,
    tolerance: float | None = None,
    min_change: float = 1e-3,
) -> None:
    """Fails unless ``model(g params) = g model(params)``, relative to the changes that the model makes.

    Args:
        model: Maps stacked parameters to stacked parameters.
        spec: The symmetry to test.
        params: Stacked networks. Default: four random ones.
        seed: Of the random networks and elements.
        tolerance: On error / max |delta| per tensor. Default: 1e-7 in float64, 1e-4 in float32.
        min_change: Smallest max |delta| / max |params| of a weight tensor that is accepted as alive.
    """
    params, element = _defaults(model, spec, params, None, seed)
    error, change = equivariance_error(model, spec, params, element)
    assert change > min_change, (
        f"the operator hardly changes the networks: max |delta| / max |params| is {change:.2g} in some tensor; "
        "equivariance would hold vacuously"
    )
    limit = TOLERANCE[_dtype(params)] if tolerance is None else tolerance
    assert error <= limit, (
        f"not equivariant: the error is {error:.2g} of the largest change in some tensor; the tolerance is {limit:.0e}"
    )


def assert_same_function(
    module: nn.Module,
    spec: SymmetrySpec,
    example: Example | None = None,
    *,
    num: int = 5,
    seed: int = 0,
    tolerance: float | None = None,
) -> None:
    """Fails unless random elements of the gauge leave the network function of ``module`` alone.

    Args:
        module: The network.
        spec: Its symmetry.
        example: Inputs to compare on; see :func:`weightspace.same_function`.
        num: How many elements are tried.
        seed: Of the first.
        tolerance: On the relative output difference. Default: 1e-10 in float64, 1e-4 in float32.
    """
    params = dict(module.state_dict())
    limit = {torch.float64: 1e-10, torch.float32: 1e-4}[_dtype(params)] if tolerance is None else tolerance
    for index in range(seed, seed + num):
        gap = same_function(module, act(sample(spec, index), params, spec), example)
        assert gap <= limit, (
            f"element {index} of the gauge {spec} changes the output by {gap:.2g} of its size; "
            f"the tolerance is {limit:.0e}"
        )


def _defaults(
    model: object, spec: SymmetrySpec, params: Params | None, element: Element | None, seed: int
) -> tuple[Params, Element]:
    if params is None:
        some = next(model.parameters(), None) if isinstance(model, nn.Module) else None
        params = random_params(spec, 4, seed=seed, dtype=torch.float64 if some is None else some.dtype)
    num = spec.check(params)
    return params, sample(spec, seed, num=num, max_scale=64.0) if element is None else element


def _dtype(params: Mapping[str, Tensor]) -> torch.dtype:
    return next(value.dtype for value in params.values() if value.is_floating_point())


def _difference(new: Mapping[str, Tensor], old: Mapping[str, Tensor]) -> Params:
    return {name: new[name] - value for name, value in old.items()}


def _ratio(error: Tensor, size: Tensor) -> float:
    largest = float(size.max())
    return float(error.max()) / largest if largest > 0 else float(error.max())


def _numel(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
