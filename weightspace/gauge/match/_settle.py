"""The best sizes of the scales of matched neurons, by sums of products alone.

With order and signs held, the squared distance is a sum over two tables: of the squares of the moved network, rescaled
by the square of the scales, and of its products with the other network, rescaled once. Neither changes while scales
settle, so a step costs two products of a matrix and a vector for each parameter.
"""

from dataclasses import replace
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..._types import Params
from ...spec import SymmetrySpec
from .._element import Element, identity
from ..canonical import Sums, Tables, tables
from ._carriers import Family, scaled_space, with_inside
from ._quartic import best_scale


@final
class Settling:
    """Stacked networks of which only sizes of scales still move; ``spec`` names what counts in the distance."""

    def __init__(self, left: Params, right: Params, spec: SymmetrySpec, families: tuple[Family, ...]) -> None:
        names = [name for family in families for each in with_inside(family) if (name := scaled_space(each))]
        squares = tables({name: right[name].square() for name in spec.axes}, spec, "size", lambda value: value)
        products = tables({name: left[name] * right[name] for name in spec.axes}, spec, "size", lambda value: value)
        self.steps = [
            (own, _touching(squares, own, 2.0), _touching(products, own, 1.0))
            for name in names
            for own in [slice(squares.start[name], squares.start[name] + spec.space[name].size)]
        ]
        self.tables, self.spec = squares, spec
        self.log = torch.zeros(squares.num, squares.size, dtype=torch.float64)

    @property
    def element(self) -> Element:
        """The scales so far."""
        still = identity(self.spec).expand(len(self.log))
        return Element(still.perm, still.scale | self.tables.split(self.log.exp(), self.spec))

    def sweep(self, which: Bool[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Each space of the pairs ``which`` in turn at its best; the squared distance that is gained."""
        gained = torch.zeros(len(self.log), dtype=torch.float64)
        for own, squares, products in self.steps:
            square, product = squares.at(self.log), products.at(self.log)
            into, out_of = (product.pull(part)[:, own] for part in (_positive, _negative))
            fan_in, fan_out = (square.pull(part)[:, own] for part in (_positive, _negative))
            scale, value = best_scale(fan_in, into, out_of, fan_out)
            before = fan_in - 2 * into + fan_out - 2 * out_of
            self.log[:, own] += scale.log().where(which.unsqueeze(-1), 0.0)
            gained += (before - value).sum(-1)
        return gained


def _positive(power: int) -> float:
    return float(power > 0)


def _negative(power: int) -> float:
    return float(power < 0)


def _touching(found: Tables, own: slice, q: float) -> Sums:
    """Sums over the tables with a scale of the space whose neurons are ``own``."""
    home = found.home[own.start]
    kept = [table for table in found.tables if any((found.home[i.owner] == home).any() for i in table.incidences)]
    return Sums(replace(found, tables=tuple(kept)), q, own)
