"""Alignment: the element that brings one network nearest to another one, with a proof that it changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._errors import ConfigError, SpecMismatch
from .._types import Params
from ..gauge import Element, act, compose, identity, inverse, same_function
from ..gauge.canonical import balance, units
from ..gauge.match import Problem, Progress, problem
from ..spec import Example, Inputs, SymmetrySpec, without_caches
from ._gains import nearest_match
from ._stacks import LARGE, in_one_unit, same_number, stacked

LIMITS = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Largest difference of the outputs, relative to their size, that rounding explains, by number type."""


SINGLE = 1e-12
"""Squared relative distance at which networks count as one at most: types coarser than float32 explain more than that,
but where they do, matching can still gain."""


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
    example: Example | None = None,
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

    Where the nearest element would set gains of a normalization against each other, the nearest that leaves their signs
    alone is taken: the mean of a gain and its negative is 0.

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
    single = same_number(a, b, spec) is None
    left, right, to_left, to_right = _balanced(stacked(a, spec, single), stacked(b, spec, single), spec)
    task = problem(*in_one_unit(left, right), spec, _rounding(a, b))
    element, nearest, began = nearest_match(task, restarts, seed, progress)
    size = _norm(left, right, task)
    size = size.where(size > 0, 1.0)
    began = {name: value.sqrt() / size for name, value in began.items()}
    nearest = nearest.sqrt() / size
    element = compose(inverse(to_left), compose(element, to_right))
    if single:
        element = element[0]
        began, nearest = {name: value[0] for name, value in began.items()}, nearest[0]
    # What stays where it is would be shared with ``b``, perhaps a network in training.
    params = {name: value.clone() if value is b[name] else value for name, value in act(element, b, spec).items()}
    return Alignment(element, params, nearest, began, certify(b, params, module, example))


def _balanced(a: Params, b: Params, spec: SymmetrySpec) -> tuple[Params, Params, Element, Element]:
    """Both stacks in the balanced gauge, and the elements that lead there; together, which takes less than twice."""
    num = len(next(iter(a.values())))
    if not any(space.scale in ("positive", "nonzero") for space in spec.free):
        still = identity(spec).expand(num)
        return a, b, still, still
    both, moves = balance({name: torch.cat([a[name], b[name]]) for name in spec.axes}, spec)
    left, right = ({name: value[part] for name, value in both.items()} for part in (slice(num), slice(num, None)))
    return left, right, moves[slice(num)], moves[slice(num, None)]


def _norm(left: Params, right: Params, task: Problem) -> Float[Tensor, " b"]:
    """Of each network of the left, in the units of its pair; it may be far smaller than its partner."""
    size = task.size.sqrt()
    if bool((size > 0).all()):
        return size
    own = units(left, 0)
    squares = [(left[name] / own.view(-1, *[1] * (left[name].dim() - 1))).square() for name in task.weighed]
    total = torch.stack([value.flatten(1).sum(1) for value in squares]).sum(0)
    return total.sqrt() * (own / torch.maximum(units(left, LARGE), units(right, LARGE)))


def _rounding(*networks: Mapping[str, Tensor]) -> float:
    """Squared relative distance at which two networks are one but for the rounding of their numbers."""
    types = {value.dtype for params in networks for value in params.values() if value.is_floating_point()}
    return max((min((4 * torch.finfo(kind).eps) ** 2, SINGLE) for kind in types), default=0.0)


def certify(
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    module: nn.Module | None,
    example: Example | None,
) -> float | None:
    """Largest relative difference of the outputs, or ``None`` without a module.

    Raises:
        SpecMismatch: if it is more than rounding, or the module has other parameters.
    """
    if module is None:
        return None
    if example is not None:
        module = without_caches(module, Inputs.of(example))  # before it gets other parameters
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
