"""The audit itself: every subgroup of the gauge acts on random networks, and the results are compared.

The error of a law is divided by the spread, so that a metanetwork that ignores its input does not pass; it is
flagged by itself as well. Two controls say that the audit would have noticed a fault: a reader without symmetry
sees the same elements, and the metanetwork sees elements of groups that the spec does not have.
"""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .._errors import ConfigError, WeightSpaceError
from .._types import Params
from ..gauge import act, sample
from ..spec import SymmetrySpec
from ..testing import TOLERANCE, random_params
from ._report import Kind, Report, Row
from ._subgroups import Subgroup, subgroups

Metanetwork = Callable[[Params], Any]
"""Stacked parameters to ``[b, ...]``, or to stacked parameters."""

_NETWORKS = 4
_MAX_SCALE = 64.0
_DRAWS = 8
_NOTICED = 1e-5
"""Smallest error relative to the spread, in float64, that counts as noticed: a hundred times the tolerance."""

_ALIVE = 1e-2
"""Smallest spread relative to the size of results that is accepted; of an operator's changes a tenth of it."""


def audit(
    metanetwork: Metanetwork,
    spec: SymmetrySpec,
    *,
    seed: int = 0,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,  # noqa: ARG005
) -> Report:
    """How well a metanetwork respects the gauge of ``spec``, by neuron space and group, in float64 and float32.

    Args:
        metanetwork: Maps stacked parameters to ``[b, ...]`` (a functional) or to stacked parameters (an operator).
            Of a module, a copy in eval mode is called.
        spec: The symmetry that it should respect; it is called with random networks of this architecture.
        seed: Of networks and elements.
        progress: Called with subgroups done, subgroups in all, and a word.

    Raises:
        ConfigError: if it cannot be called with stacked networks of this spec, or returns something else.
    """
    metanetwork = copy.deepcopy(metanetwork) if isinstance(metanetwork, nn.Module) else metanetwork
    parts = list(subgroups(spec))
    errors: dict[torch.dtype, list[float]] = {}
    plain: list[float] = []
    failures: list[str] = []
    kind, spread = "functional", math.inf
    for half, dtype in enumerate((torch.float64, torch.float32)):
        if isinstance(metanetwork, nn.Module):
            metanetwork.to(dtype).eval()
        params = random_params(spec, _NETWORKS, seed=seed, dtype=dtype)
        kind, compare = _comparison(metanetwork, spec, params)
        _, compare_plain = _comparison(_plain(kind, params), spec, params)
        relative, dead = _life(kind, metanetwork, spec, params)
        spread = min(spread, relative)
        failures += [dead] if dead else []
        again = compare(params, lambda networks: networks)
        if not again <= TOLERANCE[dtype]:
            failures.append("called twice with the same networks, it gives different results")
        errors[dtype] = []
        for place, part in enumerate(parts):
            progress(half * len(parts) + place, 2 * len(parts), "audit")
            moved, move = _moved(part, params, seed)
            errors[dtype].append(compare(moved, move))
            if dtype == torch.float64:
                plain.append(compare_plain(moved, move))
    rows = [
        _row(part, errors[torch.float64][k], errors[torch.float32][k], plain[k])
        for k, part in enumerate(parts)
        # What does not move parameters, as a plain reader sees them, says nothing.
        if plain[k] > _NOTICED
    ]
    return Report(kind, tuple(rows), spread, (*dict.fromkeys(failures), *_failures(kind, rows)))


_Move = Callable[[Params], Params]
_Compare = Callable[[Params, _Move], float]


def _moved(part: Subgroup, params: Params, seed: int) -> tuple[Params, _Move]:
    """The networks moved by random elements of the part, one each, and what moves them."""

    def move(networks: Params, draw: int) -> Params:
        element = sample(part.spec, seed + draw, num=_NETWORKS, max_scale=_MAX_SCALE)
        return act(element, networks, part.spec)

    # Of a small permutation group all elements drawn may be the identity.
    draw, moved = 0, move(params, 0)
    while draw < _DRAWS and all(torch.equal(moved[name], params[name]) for name in params):
        draw += 1
        moved = move(params, draw)
    return moved, lambda networks: move(networks, draw)


def _comparison(metanetwork: Metanetwork, spec: SymmetrySpec, params: Params) -> tuple[Kind, _Compare]:
    """What kind of metanetwork it is, and the error of its law for the moved networks and what moved them."""
    before = _call(metanetwork, spec, params)
    if isinstance(before, Tensor):
        spread = float((before - before.roll(1, 0)).abs().max())

        def invariant(there: Params, move: _Move) -> float:  # noqa: ARG001
            after = _call(metanetwork, spec, there)
            assert isinstance(after, Tensor), "it was one before"
            return _over(float((before - after).abs().max()), spread)

        return "functional", invariant

    def equivariant(there: Params, move: _Move) -> float:
        after, want = _call(metanetwork, spec, there), move(dict(before))
        assert isinstance(after, Mapping), "it was one before"
        worst = [
            _over(
                float((want[name] - after[name]).abs().max()),
                # A tensor that is left alone changes by rounding errors; these are no unit.
                max(float((want[name] - there[name]).abs().max()), 1e-3 * float(there[name].abs().max())),
            )
            for name in params
        ]
        return float(torch.tensor(worst or [0.0], dtype=torch.float64).max())  # max() of numbers may drop a NaN

    return "operator", equivariant


def _life(kind: Kind, metanetwork: Metanetwork, spec: SymmetrySpec, params: Params) -> tuple[float, str]:
    """Spread of the results relative to their size, and a sentence if the metanetwork is dead."""
    result = _call(metanetwork, spec, params)
    results = [result] if isinstance(result, Tensor) else [result[name] for name in params]
    size = max(float(value.abs().max()) for value in results)
    spread = max(float((value - value.roll(1, 0)).abs().max()) for value in results) / (size or 1.0)
    if not math.isfinite(size):
        return spread, "a result is not finite"
    if spread <= _ALIVE:
        return spread, "dead: its results hardly depend on the network, so the laws say nothing"
    if kind == "operator" and isinstance(result, Mapping):
        change = max(_over(float((result[n] - v).abs().max()), float(v.abs().max())) for n, v in params.items())
        if change <= _ALIVE / 10:
            return spread, "dead: it hardly changes the networks, so the laws say nothing"
    return spread, ""


def _plain(kind: Kind, params: Params) -> Metanetwork:
    """A reader without symmetry: a random linear map of all numbers, or the same changes for every network."""
    generator = torch.Generator().manual_seed(0)
    fixed = {
        name: torch.randn(value.shape[1:], generator=generator, dtype=torch.float64).to(value)
        for name, value in params.items()
    }
    if kind == "functional":
        return lambda networks: torch.stack([(networks[n] * w).flatten(1).sum(1) for n, w in fixed.items()]).sum(0)
    return lambda networks: {name: value + fixed[name] for name, value in networks.items()}


def _row(part: Subgroup, double: float, single: float, plain: float) -> Row:
    if part.member:
        passed = double <= TOLERANCE[torch.float64] and single <= TOLERANCE[torch.float32]
    else:
        passed = not double <= _NOTICED
    return Row(part.space, part.group, part.member, double, single, plain, passed)


def _failures(kind: Kind, rows: list[Row]) -> list[str]:
    law, unit = ("invariant", "spread") if kind == "functional" else ("equivariant", "changes made")
    broken = [
        f"not {law} under {'the whole gauge' if row.group == 'all' else f'the {row.group} of {row.space}'}: the error "
        f"is {row.float64:.1e} of the {unit} in float64 (tolerance {TOLERANCE[torch.float64]:.0e}), "
        f"{row.float32:.1e} in float32 ({TOLERANCE[torch.float32]:.0e})"
        for row in rows
        if row.member and not row.passed
    ]
    controls = [row for row in rows if not row.member]
    if controls and not any(row.passed for row in controls):
        broken.append("no change from outside the spec was noticed: it cannot tell these networks from others")
    return broken


def _call(metanetwork: Metanetwork, spec: SymmetrySpec, params: Params) -> Tensor | Mapping[str, Tensor]:
    """The result, of a kind that can be compared.

    Raises:
        ConfigError: if the call fails or the result has another form.
    """
    try:
        with torch.no_grad():
            result = metanetwork({name: value.clone() for name, value in params.items()})
    except WeightSpaceError:
        raise
    except Exception as error:
        raise ConfigError(
            f"the metanetwork cannot read {_NETWORKS} stacked networks of this spec ({type(error).__name__}: {error}). "
            "It is called with a dict of name to [b, *shape]; try it with weightspace.testing.random_params(spec, 4)."
        ) from error
    if isinstance(result, Tensor) and result.ndim and len(result) == _NETWORKS and result.is_floating_point():
        return result
    if isinstance(result, Mapping) and all(isinstance(value, Tensor) for value in result.values()):
        spec.check(result)
        return result
    have = f"shape {list(result.shape)}, {result.dtype}" if isinstance(result, Tensor) else type(result).__name__
    raise ConfigError(
        f"the metanetwork returns {have} for {_NETWORKS} stacked networks. "
        "Return floating-point numbers [b, ...], or stacked parameters under the names of the spec."
    )


def _over(error: float, size: float) -> float:
    return error / size if size > 0 else (0.0 if error == 0 else math.inf)
