"""Many comparisons at once, by the batched steps of :func:`same`; pairs that these leave open are left to it."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .._types import Params
from ..spec import NeuronSpace, SymmetrySpec
from ._act import act
from ._element import Element, compose, identity, inverse
from ._rounding import rounding
from ._same import nearest
from ._sameness import LIMIT
from .canonical import canonicalize, units
from .index import neuron_rows

SWEEPS = 6
CLEAR = 10 * LIMIT
"""Roundings from which on two networks whose neurons find clear partners are different without a second look."""

Network = Mapping[str, Tensor]


def same_pairs(
    networks: Sequence[Network], pairs: Sequence[tuple[int, int]], spec: SymmetrySpec
) -> Float[Tensor, " b"]:
    """How far the networks of each pair are apart, in roundings; at most ``LIMIT`` for the same network.

    An element that moves one network onto the other is a proof wherever it comes from, so canonical forms and
    assignments are made for all pairs together. Pairs are different if every neuron has one partner that is far nearer
    than any other, and the networks still differ. What is neither is decided as by :func:`same`, one by one.

    Args:
        networks: Of any floating-point types.
        pairs: Places in ``networks``.
        spec: The symmetry of all of them.

    Raises:
        SpecMismatch: if a parameter does not fit the spec, or is not finite.
    """
    for place, net in enumerate(networks):
        spec.check_values(net, of=f"network {place}")
    wide = {n: torch.stack([net[n].double() for net in networks]) for n in spec.axes}
    rooms = {n: torch.stack([rounding(net[n], None) for net in networks]) for n in spec.axes}
    canonical, to_canonical, _ = canonicalize(wide, spec, scale="balanced")
    unit = units(canonical).max()
    canonical = {name: value / unit for name, value in canonical.items()}
    first, second = torch.tensor(pairs).T

    def roundings(middle: Element, some: Tensor) -> Float[Tensor, " b"]:
        """With the elements between the canonical forms of some of the pairs."""
        one, two = first[some], second[some]
        back = inverse(to_canonical[two])
        element = compose(back, compose(middle, to_canonical[one]))
        a, b, room_a, room_b = (_rows(of, at) for of in (wide, rooms) for at in (one, two))
        return _roundings(element, a, b, room_a, room_b, spec)

    found = roundings(identity(spec).expand(len(pairs)), torch.arange(len(pairs)))
    owned = {name for name, axes in spec.params if any(part.space for axis in axes for part in axis.parts)}
    coarse = torch.tensor([any(_has_few_digits(net[name], name in owned) for name in spec.axes) for net in networks])
    coarse = coarse[first] | coarse[second]
    left = (found > LIMIT).nonzero().flatten()
    if len(left):
        middle, clear = _assigned(_rows(canonical, first[left]), _rows(canonical, second[left]), spec)
        assigned = roundings(middle, left)
        found[left] = assigned
        for place in left[(assigned > LIMIT) & ~(clear & (assigned > CLEAR) & ~coarse[left])].tolist():
            one, two = pairs[place]
            _, found[place], _ = nearest(networks[one], networks[two], spec)
    return found


def _roundings(
    element: Element, a: Params, b: Params, room_a: Params, room_b: Params, spec: SymmetrySpec
) -> Float[Tensor, " b"]:
    moved = act(element, a, spec)
    most = Element(element.perm, {name: scale.abs() for name, scale in element.scale.items()})
    room, still = act(most, room_a, spec), act(most, {n: torch.zeros_like(v) for n, v in a.items()}, spec)
    worst = torch.zeros(len(next(iter(a.values()))), dtype=torch.float64)
    for name in spec.axes:
        # Where something is added before scaling (running variances), a rounding is scaled alone.
        allowed = room[name] - still[name] + room_b[name] + 1e-300
        gap = ((moved[name] - b[name]).abs() / allowed).flatten(1)
        worst = torch.maximum(worst, gap.amax(1)) if gap.shape[1] else worst
    return worst


def _has_few_digits(value: Tensor, owned: bool) -> bool:
    """Whether balanced scales, which are sums over entries, are less exact than the type: some entries are denormal,
    or entries of neurons are whole numbers, which do not round at all."""
    if not value.is_floating_point():
        return owned
    small = value.detach().abs()
    return bool(((small > 0) & (small < torch.finfo(value.dtype).tiny)).any())


def _assigned(left: Params, right: Params, spec: SymmetrySpec) -> tuple[Element, Bool[Tensor, " b"]]:
    """Elements near the identity that bring each ``left`` to its ``right``, space by space, and whether they are clear.

    Clear: all spaces are assigned, and to each neuron every other than its partner is at least twice as far.
    """
    num = len(next(iter(left.values())))
    element = none = identity(spec).expand(num)
    alone = [space for space in spec.free if _is_alone(space, spec)]
    clear = torch.ones(num, dtype=torch.bool)
    for _ in range(SWEEPS):
        moved, clear = False, torch.full((num,), len(alone) == len(spec.free))
        for space in alone:
            here = torch.vmap(lambda p, name=space.name: _joined(p, spec, name))(act(element, left, spec))
            there = torch.vmap(lambda p, name=space.name: _joined(p, spec, name))(right)
            products = there @ here.mT
            signed = space.scale in ("sign", "nonzero")
            gain = products.abs() if signed else products
            cost = there.square().sum(-1)[:, :, None] + here.square().sum(-1)[:, None] - 2 * gain
            order = torch.stack([torch.as_tensor(linear_sum_assignment(net)[1]) for net in cost.numpy()])
            chosen = products.gather(-1, order[:, :, None])[:, :, 0]
            sign = torch.where((chosen < 0) & signed, -1.0, 1.0).double()
            others = cost.scatter(-1, order[:, :, None], torch.inf)
            clear &= (4 * cost.gather(-1, order[:, :, None])[:, :, 0] <= others.amin(-1)).all(-1)
            moved |= not (torch.equal(order, none.perm[space.name]) and torch.equal(sign, none.scale[space.name]))
            step = Element(none.perm | {space.name: order}, none.scale | {space.name: sign})
            element = compose(step, element)
        if not moved:
            break
    return element, clear


def _is_alone(space: NeuronSpace, spec: SymmetrySpec) -> bool:
    """Whether nothing else moves with the neurons of the space, so that they can be assigned on their own."""
    bound = space.like or space.within or space.ordered
    return not bound and not any(space.name in (other.like, other.within, other.along) for other in spec.spaces)


def _joined(params: Network, spec: SymmetrySpec, name: str) -> Tensor:
    """All entries that carry a neuron of the space, one row for each neuron."""
    rows = neuron_rows(params, spec, name)
    return torch.cat(rows, 1) if rows else torch.zeros(spec.space[name].size, 1, dtype=torch.float64)


def _rows(params: Params, index: Tensor) -> Params:
    return {name: value[index] for name, value in params.items()}
