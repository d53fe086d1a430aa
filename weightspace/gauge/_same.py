"""Whether two parameter sets are the same network: the element between them, and what is left."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .._errors import ConfigError, SpecMismatch
from .._types import Params, Progress
from ..spec import Example, SymmetrySpec
from ._act import act, stack
from ._element import Element, compose, inverse
from ._fit import fitted
from ._outputs import compare_outputs
from ._rounding import rounding
from ._sameness import LIMIT, Sameness, Verdict
from ._why import why_no_element
from .canonical import balance, norm_of, units
from .match import matched

UNTRIED = "whether they compute the same was not tried; give module= (--model at the command line) to try it"


def same(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: SymmetrySpec,
    *,
    bits: int | None = None,
    module: nn.Module | None = None,
    example: Example | None = None,
    progress: Progress | None = None,
) -> Sameness:
    """Whether ``a`` and ``b`` are one network in two gauges, with the element that maps ``a`` to ``b``.

    Both are brought to balanced scales; neurons are assigned to each other, space by space from the inputs on, and
    again until nothing changes; scales are then fitted. "Same network" is certified by the element: every entry of the
    moved ``a`` agrees with ``b`` up to what rounding explains. Rounding counts once, at the end: a copy that was
    rounded and then moved to another gauge is not the same network, since its entries do not say how they were rounded.

    With a module both are run as well. Where no element is found, they are "different" if there is an input on which
    outputs differ by more than rounding explains, and one function otherwise, with a reason why there is no element.
    Without a module that is left open.

    Args:
        a: Parameters of one network, of any floating-point types.
        b: Parameters of another one.
        spec: The symmetry of both.
        bits: Parameters that lie on a symmetric grid of so many bits (8: 127 steps from 0 to the largest entry), one
            step for the whole or one for each output channel, may differ by half a step. Without it, networks that
            were quantized are different from the one that they were made of: their type does not say that they were.
        module: The architecture, to compare outputs (:func:`weightspace.gauge.compare_outputs`); left as it was.
        example: Its inputs; by default guessed as in :func:`weightspace.same_function`.
        progress: Called with the families of neuron spaces that are matched, their number, and words for them.

    Raises:
        SpecMismatch: if a parameter does not fit the spec or the module, several networks are stacked, or an entry is
            not finite; if outputs differ though an element maps ``a`` to ``b``, since then the spec is wrong.
        ConfigError: if ``bits`` is not between 2 and 16, or the module cannot be run.
    """
    if bits is not None and not 2 <= bits <= 16:
        raise ConfigError(f"bits is {bits}; grids of 2 to 16 bits are known. Type bits=8.")
    for params, which in ((a, "first"), (b, "second")):
        if spec.check_values(params, of=f"the {which} network") is not None:
            raise SpecMismatch(f"the {which} argument stacks several networks. Compare them one by one.")
    near = nearest(a, b, spec, bits, progress)
    outputs = None if module is None else compare_outputs(module, a, b, example, bits)
    if near[1] <= LIMIT:
        if outputs is not None and outputs.differ_on > 0.5:
            raise SpecMismatch(
                f"an element of the spec maps one network to the other, yet {outputs}: the spec does not hold for "
                f"{type(module).__name__}. Derive it: ws.derive(module, example)."
            )
        return Sameness(Verdict.SAME, *near, outputs)
    if outputs is None:
        return Sameness(Verdict.OPEN, *near, None, UNTRIED)
    if not outputs.agree:
        return Sameness(Verdict.DIFFERENT, *near, outputs)
    if not outputs.telling:
        hardly = f"outputs change with the inputs tried by no more than {outputs.spread:.2g} of their size"
        return Sameness(Verdict.OPEN, *near, outputs, f"{hardly}, so that they agree says nothing; give other inputs")
    reason = why_no_element(a, b, spec, bits, lambda one, other: nearest(one, other, spec, bits)[1] <= LIMIT)
    return Sameness(Verdict.FUNCTION, *near, outputs, reason)


def nearest(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: SymmetrySpec,
    bits: int | None = None,
    progress: Progress | None = None,
) -> tuple[Element, float, float]:
    """The best element found from ``a`` to ``b``, and how far they then are apart: in roundings, and in norm."""
    first, second = ({name: params[name].detach().cpu().double() for name in spec.axes} for params in (a, b))

    def matching(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, "neuron spaces matched")

    both, moves = balance(stack([first, second]), spec)
    unit = float(units(both).max())
    left, right = ({name: value[place] / unit for name, value in both.items()} for place in range(2))
    element = compose(inverse(moves[1]), compose(matched(left, right, spec, matching), moves[0]))
    del both, left, right  # as large as all that follows
    rounded = [{name: rounding(network[name].detach().cpu(), bits) for name in spec.axes} for network in (a, b)]

    def room(element: Element) -> Params:
        """What rounding of both explains, once ``element`` has moved the first."""
        most = Element(element.perm, {name: scale.abs() for name, scale in element.scale.items()})
        moved, still = act(most, rounded[0], spec), act(most, {n: torch.zeros_like(v) for n, v in first.items()}, spec)
        # Where something is added before scaling (running variances), a difference is scaled alone.
        return {name: moved[name] - still[name] + rounded[1][name] + 1e-300 for name in spec.axes}

    def roundings(element: Element) -> float:
        moved, unit = act(element, first, spec), room(element)
        gaps = [((moved[name] - second[name]).abs() / unit[name]).flatten() for name in spec.axes]
        return float(torch.cat(gaps).max())

    worst = roundings(element)
    if worst > 1:  # balanced scales are as wrong as rounding makes sums of squares; the entries themselves say more
        better = fitted(element, first, second, room, spec)
        worst, element = min((worst, element), (roundings(better), better), key=lambda pair: pair[0])
    moved = act(element, first, spec)
    far = norm_of(lambda name: moved[name] - second[name], spec.axes)
    size = norm_of(lambda name: second[name], spec.axes)
    return element, worst, far / size if size else far
