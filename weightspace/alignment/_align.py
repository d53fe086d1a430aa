"""Alignment: the element that brings one network nearest to another one, with a proof that it changes nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._errors import ConfigError, SpecMismatch
from .._types import Params
from ..gauge import Element, act, canonicalize, compose, identity, inverse, same_function
from ..spec import SymmetrySpec
from ._descent import Problem, descend, distance, move, problem
from ._starts import starts

LIMITS = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Largest difference of the outputs, relative to their size, that rounding explains, by number type."""

EXACT = 1e-20
"""Squared distance, relative to the squared norm, at which two networks are one."""

Progress = Callable[[int, int], None]


@final
@dataclass(frozen=True, eq=False)
class Alignment:
    """What matching two networks found.

    Attributes:
        element: Maps the second network to the place nearest to the first one.
        params: The second network there; the same function.
        distance: Norm of the difference to the first network, relative to the first one's norm, both in the
            balanced gauge: no scale of the networks' neurons changes it.
        starts: By start, the distance there, before any descent.
        output_difference: Largest difference between the outputs of the second network before and after, relative
            to their size; ``None`` where no module was given to measure it on.
    """

    element: Element
    params: Params
    distance: Float[Tensor, "*b"]
    starts: dict[str, Float[Tensor, "*b"]]
    output_difference: float | None

    @property
    def won(self) -> str:
        """The nearest start; for several pairs, the one that was nearest most often."""
        stacked = torch.stack([value.reshape(-1) for value in self.starts.values()])
        return list(self.starts)[int(stacked.argmin(0).bincount(minlength=len(stacked)).argmax())]

    def __str__(self) -> str:
        far = float(self.distance.mean())
        pairs = f"{self.distance.numel()} pairs, mean " if self.distance.ndim else ""
        proof = "not measured" if self.output_difference is None else f"{self.output_difference:.2g}"
        return f"{pairs}distance {far:.4g} (start: {self.won}), outputs changed by {proof}"


def align(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: SymmetrySpec,
    *,
    module: nn.Module | None = None,
    example: Tensor | tuple[Tensor, ...] | None = None,
    restarts: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Alignment:
    """``b`` moved within its orbit to where it is nearest to ``a``, with the element and a proof.

    Weight matching: both networks are brought to the balanced gauge; then one family of neuron spaces after the other
    is matched exactly over order, signs and scales at once, while the others stay, until nothing gains. It starts from
    the nearest of several elements (sweeps from the inputs and from the outputs, the identity); with ``restarts``
    it descends from all of these and from random ones, and keeps the nearest end. With stacked networks the pairs are
    matched side by side.

    The step is exact for permutations with signs, and with positive scales where a space has one scale that fan-in
    and fan-out share; scales around normalizations stay as the balanced gauge has them. Variances do not count in the
    distance. As a whole the problem is NP-hard: the element found is a local optimum.

    Args:
        a: Parameters of the network to match to, or of stacked networks.
        b: Parameters of the network to move, as many.
        spec: The symmetry of both.
        module: The architecture, to measure on it that the moved network computes the same.
        example: Inputs for that; by default random ones, see :func:`weightspace.same_function`.
        restarts: Random starts; from 1 on all starts are descended from.
        seed: Of the random starts.
        progress: Called with descents done and descents in all.

    Raises:
        SpecMismatch: if the parameters do not fit the spec, differ in number, or are not finite; if the outputs of
            the moved network differ from those of ``b`` by more than rounding (the spec is wrong for this module).
        ConfigError: if ``restarts`` is below 0.

    Source: arXiv:2511.12601, section 2 and Proposition 1 (permutation and sign); positive scales, starts, blocks and
    any derived spec are ours (`docs/align.md`).
    """
    if restarts < 0:
        raise ConfigError(f"restarts is {restarts}; give 0 or more.")
    single = _same_number(a, b, spec) is None
    left, to_left = _balanced(a, spec, single)
    right, to_right = _balanced(b, spec, single)
    task = problem(left, right, spec)
    element, nearest, began = best_start(task, restarts, seed, progress)
    size = task.size.sqrt().where(task.size > 0, 1.0)
    began = {name: value.sqrt() / size for name, value in began.items()}
    nearest = nearest.sqrt() / size
    element = compose(inverse(to_left), compose(element, to_right))
    if single:
        element = element[0]
        began, nearest = {name: value[0] for name, value in began.items()}, nearest[0]
    # What stays where it is would be shared with ``b``, perhaps a network in training.
    params = {name: value.clone() if value is b[name] else value for name, value in act(element, b, spec).items()}
    return Alignment(element, params, nearest, began, certify(b, params, module, example))


def best_start(
    task: Problem, restarts: int, seed: int, progress: Progress | None = None
) -> tuple[Element, Float[Tensor, " b"], dict[str, Float[Tensor, " b"]]]:
    """The best end of the descents of each pair, its squared distance, and the squared distance of every start."""
    began: dict[str, Tensor] = {}
    nearest: Element | None = None
    ends: list[Element] = []
    for name, start in starts(task, restarts, seed):
        began[name] = distance(task.left, move(start, task.right, task.spec), task.weighed)
        # A later start must be clearly nearer: rounding would else choose between equal ones.
        better = began[name] < torch.stack(list(began.values())[:-1] or [began[name] * torch.inf]).amin(0) * (1 - 1e-9)
        nearest = start if nearest is None else _merged(better, start, nearest)
        ends += [start] if restarts else []
    assert nearest is not None, "the identity is always a start"
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


def certify(
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    module: nn.Module | None,
    example: Tensor | tuple[Tensor, ...] | None,
) -> float | None:
    """Largest relative difference of the outputs, or ``None`` without a module.

    Raises:
        SpecMismatch: if it is more than rounding, or the module has other parameters.
    """
    if module is None:
        return None
    shapes = {name: value.ndim for name, value in module.state_dict().items()}
    num = next((len(value) for name, value in before.items() if value.ndim > shapes.get(name, value.ndim)), None)
    pairs = [(before, after)]
    if num is not None:
        pairs = [({n: v[k] for n, v in before.items()}, {n: v[k] for n, v in after.items()}) for k in range(num)]
    own = {name: value.clone() for name, value in module.state_dict().items()}
    try:
        gaps = []
        for one, other in pairs:
            try:
                module.load_state_dict(dict(one))
            except RuntimeError as error:
                reason = str(error).splitlines()[-1].strip()
                raise SpecMismatch(
                    f"the networks are not parameters of the {type(module).__name__} given: {reason} "
                    "Give the module that they belong to."
                ) from error
            # As the module computes, whatever type the parameters are kept in.
            gaps.append(same_function(module, {name: value.to(own[name]) for name, value in other.items()}, example))
    finally:
        module.load_state_dict(own)
    worst = max(gaps)
    floats = [value for value in (*after.values(), *own.values()) if value.is_floating_point()]
    limit = max((LIMITS.get(value.dtype, 2e-2) for value in floats), default=0.0)
    if not worst <= limit:
        raise SpecMismatch(
            f"the moved network's outputs differ from the original's by {worst:.2g} of their size, more than rounding "
            f"({limit:g}): the spec does not hold for {type(module).__name__}. Derive it: ws.derive(module, example)."
        )
    return worst


def _same_number(a: Mapping[str, Tensor], b: Mapping[str, Tensor], spec: SymmetrySpec) -> int | None:
    first, second = spec.check(a), spec.check(b)
    if first != second:
        raise SpecMismatch(
            f"the first argument holds {first or 'one'} network{'s stacked' if first else ''}, the second "
            f"{second or 'one'}. Stack as many in both: ws.gauge.stack([...])."
        )
    for which, params in (("first", a), ("second", b)):
        for name, value in params.items():
            if not bool(value.isfinite().all()):
                raise SpecMismatch(f"parameter {name!r} of the {which} network has entries that are not finite.")
    return first


def _balanced(params: Mapping[str, Tensor], spec: SymmetrySpec, single: bool) -> tuple[Params, Element]:
    """Stacked float64 networks in the balanced gauge, and the element that leads there."""
    wide = _stacked(params, spec, single)
    if not any(space.scale in ("positive", "nonzero") for space in spec.free):
        return wide, identity(spec).expand(len(next(iter(wide.values()))))
    moved, element, _ = canonicalize(wide, spec, scale="balanced", permute=False)
    return moved, element


def _stacked(params: Mapping[str, Tensor], spec: SymmetrySpec, single: bool) -> Params:
    """Float64 networks in the order of the spec, stacked."""
    wide = {name: params[name].detach().cpu() for name in spec.axes}
    wide = {name: value.double() if value.is_floating_point() else value for name, value in wide.items()}
    return {name: value.unsqueeze(0) for name, value in wide.items()} if single else wide
