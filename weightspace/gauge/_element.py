"""Members of the gauge: a permutation and a scale per free neuron space, that is, monomial matrices.

The convention, fixed once: an element maps a vector ``w`` of a space to ``w'[i] = s[i] * w[perm[i]]``. Hence
``(p1, s1) (p2, s2) = (p2[p1], s1 * s2[p1])`` and the inverse is ``(argsort p, 1 / s[argsort p])``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .._errors import ConfigError, SpecMismatch
from ..spec import NeuronSpace, SymmetrySpec
from ._scale import SCALE_GROUPS


@final
@dataclass(frozen=True, eq=False)
class Element:
    """One member of the gauge, or a batch of them (a leading axis ``b`` on every tensor).

    Attributes:
        perm: Permutation of each free space, by name.
        scale: Scale of each neuron of each free space, by name.
    """

    # The underscore: sizes differ between spaces.
    perm: dict[str, Int[Tensor, "*b _n"]]
    scale: dict[str, Float[Tensor, "*b _n"]]

    def __getitem__(self, k: int | slice | Tensor) -> "Element":
        """One element of a batch, or a smaller batch of some: what the index would take from a list of them.

        Raises:
            SpecMismatch: if this is one element and no batch.
            IndexError: if the batch has no such element.
        """
        if any(perm.ndim < 2 for perm in self.perm.values()):
            raise SpecMismatch(
                "this is one element and no batch, so it has no [k]. Sample several: sample(spec, num=8)."
            )
        return self._each(lambda value: value[k])

    # A loop by the index above would not end for a spec without free spaces.
    __iter__ = None

    @staticmethod
    def stack(elements: Sequence["Element"]) -> "Element":
        """A batch of elements that act on the same spaces.

        Raises:
            SpecMismatch: if there is none, or two of them act on different spaces or are batches themselves.
        """
        if not elements:
            raise SpecMismatch("there is no element to stack. Give at least one: Element.stack([ws.sample(spec)]).")
        shapes = [{name: perm.shape for name, perm in one.perm.items()} for one in elements]
        for place, shape in enumerate(shapes):
            if shape != shapes[0] or any(len(size) > 1 for size in shape.values()):
                raise SpecMismatch(
                    f"element {place} is a batch or acts on other spaces than element 0. Sample all from one spec."
                )
        return Element(
            {name: torch.stack([one.perm[name] for one in elements]) for name in elements[0].perm},
            {name: torch.stack([one.scale[name] for one in elements]) for name in elements[0].scale},
        )

    def expand(self, num: int) -> "Element":
        """This one element ``num`` times, as a batch that shares its numbers."""
        return self._each(lambda value: value.expand(num, -1))

    def put(self, k: Int[Tensor, " _c"], others: "Element") -> "Element":
        """This batch with the elements at the places ``k`` replaced by ``others``, in order."""
        return Element(
            {name: value.index_copy(0, k, others.perm[name]) for name, value in self.perm.items()},
            {name: value.index_copy(0, k, others.scale[name]) for name, value in self.scale.items()},
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Element":
        return Element(
            {name: change(value) for name, value in self.perm.items()},
            {name: change(value) for name, value in self.scale.items()},
        )

    def to_dense(self) -> dict[str, Float[Tensor, "*b n n"]]:
        """The monomial matrix of each space; ``M @ w`` is the action on a vector ``w`` of that space."""
        dense = {}
        for name, perm in self.perm.items():
            eye = torch.eye(perm.shape[-1], dtype=self.scale[name].dtype, device=perm.device)
            dense[name] = self.scale[name].unsqueeze(-1) * eye[perm]
        return dense


def identity(spec: SymmetrySpec) -> Element:
    """The element that changes nothing."""
    return Element(
        {space.name: torch.arange(space.size) for space in spec.free},
        {space.name: torch.ones(space.size, dtype=torch.float64) for space in spec.free},
    )


def sample(spec: SymmetrySpec, seed: int = 0, *, num: int | None = None, max_scale: float = 8.0) -> Element:
    """A random element: uniform permutations and signs, positive scales log-uniform.

    Args:
        spec: The symmetry to sample from.
        seed: Same seed, same element, on every machine.
        num: Draw a batch of this many elements (leading axis); one element without it if ``None``.
        max_scale: Positive scales lie in [1/max_scale, max_scale].

    Raises:
        ConfigError: if ``max_scale`` is below 1.
    """
    if not max_scale >= 1:
        raise ConfigError(f"max_scale is {max_scale:g}; scales lie in [1/max_scale, max_scale], so give 1 or more.")
    generator = torch.Generator().manual_seed(seed)
    lead = () if num is None else (num,)
    perm, scale = {}, {}
    for space in spec.free:
        perm[space.name] = _sample_perm(spec, space, perm, lead, generator)
        scale[space.name] = SCALE_GROUPS[space.scale].sample((*lead, space.size), generator, max_scale)
    return Element(perm, scale)


def _sample_perm(
    spec: SymmetrySpec, space: NeuronSpace, drawn: dict[str, Tensor], lead: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """A permutation of ``space`` that agrees with those drawn before it."""
    if space.like is not None:
        return drawn[space.like]
    if space.ordered and space.within is None:
        return torch.arange(space.size).expand(*lead, space.size)
    keys = torch.rand((*lead, space.size), generator=generator, dtype=torch.float64)
    if space.within is None:
        return keys.argsort(-1)
    num = spec.space[space.within].size
    size = space.size // num
    around = drawn.get(space.within, torch.arange(num).expand(*lead, num))  # a fixed space moves no block
    if space.along is not None:
        inner = _inner_perm(spec, space, drawn, lead)
    elif space.ordered:
        inner = torch.arange(size).expand(*lead, num, size)
    else:
        inner = keys.unflatten(-1, (num, size)).argsort(-1)
    return (around.unsqueeze(-1) * size + inner).flatten(-2)


def _inner_perm(spec: SymmetrySpec, space: NeuronSpace, drawn: dict[str, Tensor], lead: tuple[int, ...]) -> Tensor:
    """For each block of ``space`` the permutation inside it that the space along says: ``[*b, blocks, size]``."""
    assert space.within is not None, "checked by the caller"
    assert space.along is not None, "checked by the caller"
    num, other = spec.space[space.within].size, spec.space[space.along].size
    size = space.size // num
    along = drawn.get(space.along, torch.arange(other).expand(*lead, other))
    local = (along % size).unflatten(-1, (other // size, size))
    return local.repeat_interleave(num * size // other, -2)


def compose(g: Element, h: Element) -> Element:
    """The element that acts as ``h`` first and then as ``g``.

    Raises:
        SpecMismatch: if the two act on different spaces.
    """
    if g.perm.keys() != h.perm.keys():
        raise SpecMismatch(
            f"cannot compose an element of spaces {sorted(g.perm)} with one of spaces {sorted(h.perm)}. "
            "Sample both from the same spec."
        )
    perm, scale = {}, {}
    for name, first in g.perm.items():
        perm[name] = _take(h.perm[name], first)
        scale[name] = g.scale[name] * _take(h.scale[name], first)
    return Element(perm, scale)


def inverse(g: Element) -> Element:
    """The element that undoes ``g``."""
    perm = {name: p.argsort(-1) for name, p in g.perm.items()}
    scale = {name: 1.0 / _take(s, perm[name]) for name, s in g.scale.items()}
    return Element(perm, scale)


def _take(values: Tensor, index: Tensor) -> Tensor:
    shape = np.broadcast_shapes(values.shape, index.shape)  # that of torch takes a hundred times as long
    return values.expand(shape).gather(-1, index.expand(shape))
