"""Why no element of the spec was found between two networks whose outputs agree."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool
from torch import Tensor

from .._types import Params
from ..spec import SymmetrySpec
from ._act import stack
from ._fingerprint import fingerprints, invariant_names
from ._rounding import rounded_otherwise, rounding
from .index import Owners, owners

TIMES = 8.0
"""What counts as rounding of an invariant, in units of what a random rounding of both networks does to it."""

DRAWS, SHOWN = 2, 4


def why_no_element(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: SymmetrySpec,
    bits: int | None,
    found: Callable[[Params, Params], bool],
) -> str:
    """The reason in words, as far as the numbers say.

    Either the networks agree once what only dead neurons carry is left out; or a number that all networks of an orbit
    share differs, so that no element exists, and a group that the spec lacks relates the two or the inputs tried do not
    show how they differ; or all of these agree, and an element may exist.

    Args:
        a: Parameters of one network.
        b: Parameters of another one.
        spec: The symmetry of both.
        bits: As in :func:`weightspace.same`.
        found: Whether an element is found between two networks.
    """
    (one, its_dead), (other, others_dead) = (without_dead(params, spec) for params in (a, b))
    counts = {name: {int(dead[name].sum()) for dead in (its_dead, others_dead)} for name in its_dead}
    many = ", ".join(f"{name}: {' and '.join(map(str, sorted(num)))}" for name, num in counts.items() if num != {0})
    if many and found(one, other):
        return f"they agree but for weights of dead neurons ({many}), which change no output"
    apart = _invariants_apart(a, b, spec, bits)
    if not apart:
        return "what elements never change agrees, so one may exist that the search missed"
    more = f" and {len(apart) - SHOWN} more" if len(apart) > SHOWN else ""
    return (
        f"no element exists: numbers that none changes differ in {', '.join(apart[:SHOWN])}{more}, "
        "so a group that the spec lacks relates the two, or they differ only where the inputs tried do not show it"
    )


def without_dead(params: Mapping[str, Tensor], spec: SymmetrySpec) -> tuple[Params, dict[str, Bool[Tensor, " _n"]]]:
    """The network with zeros in place of what only dead neurons carry, and these by the space that places them.

    Dead is a neuron that nothing leaves; and, where zero is passed on as zero (any scale but the trivial one), one that
    nothing enters. Zeros make other neurons dead in turn.
    """
    kept = {name: params[name].clone() for name in spec.axes}
    labels = [(name, label) for name in spec.axes for label in owners(spec, name)]
    roots = dict.fromkeys(spec.root(str(label.part.space)) for _, label in labels)
    own = {root: [item for item in labels if spec.root(str(item[1].part.space)) == root] for root in roots}
    own = {root: items for root, items in own.items() if not spec.space[root].fixed}
    dead = {root: torch.zeros(spec.space[root].size, dtype=torch.bool) for root in own}
    changed = True
    while changed:
        changed = False
        for root, items in own.items():
            left = _lacks(kept, items, -1, dead[root])
            if spec.space[root].scale != "trivial":
                left = left | _lacks(kept, items, 1, dead[root])
            if not bool((left & ~dead[root]).any()):
                continue
            changed, dead[root] = True, dead[root] | left
            for name, label in items:
                kept[name] = kept[name].where(~_owned(left, label, kept[name].dim()), 0)
    return kept, dead


def _lacks(params: Params, labels: list[tuple[str, Owners]], side: int, like: Tensor) -> Bool[Tensor, " _n"]:
    """Neurons all of whose entries on one side are 0; none, if the spec has no such side."""
    some, any_label = torch.zeros_like(like), False
    for name, label in labels:
        if label.part.power * side < 0:
            continue
        away = [dim for dim in range(params[name].dim()) if dim not in label.dims]
        used = params[name] != 0
        used = used.amax(away) if away else used
        neurons = label.neuron[(label.neuron >= 0) & used]
        some[neurons], any_label = True, any_label or label.part.power != 0
    return ~some if any_label else torch.zeros_like(like)


def _owned(which: Tensor, label: Owners, ndim: int) -> Tensor:
    """Entries of a parameter that belong to the neurons ``which``."""
    mask = torch.cat([which, which.new_zeros(1)])[label.neuron]  # -1 reads the end: no neuron
    shape = [1] * ndim
    for dim, size in zip(label.dims, mask.shape, strict=True):
        shape[dim] = size
    return mask.view(shape)


def _invariants_apart(
    a: Mapping[str, Tensor], b: Mapping[str, Tensor], spec: SymmetrySpec, bits: int | None
) -> list[str]:
    """What invariants that differ by more than rounding belong to."""
    generator = torch.Generator().manual_seed(0)
    vectors = []
    for params in (a, b):
        wide = {name: params[name].detach().cpu().double() for name in spec.axes}
        room = {name: rounding(params[name].detach().cpu(), bits) for name in spec.axes}
        moved = [rounded_otherwise(wide, room, generator) for _ in range(DRAWS)]
        vectors.append(fingerprints(stack([wide, *moved]), spec))
    noise = sum((rows[1:] - rows[0]).abs().amax(0) for rows in vectors)
    apart = (vectors[0][0] - vectors[1][0]).abs() > TIMES * noise + 1e-9
    return list(dict.fromkeys(name for name, far in zip(invariant_names(spec, len(apart)), apart, strict=True) if far))
