"""What a canonical form leaves open."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class Report:
    """Neurons, in the places of the network returned, for which the canonical form is a matter of chance.

    Attributes:
        dead: By space, neurons with zeros for a fan-in or for a fan-out; their positive scale is read from the other
            side, so nothing is left open by them.
        scale_ties: By space, neurons whose positive scale the weights do not say, or only by more than their number
            type holds (weights that have nearly decayed to 0).
        sign_ties: By space, neurons whose sign the weights do not say.
        order_ties: By space, neurons that could as well stand in each other's places: equal ones, or ones that differ
            by no more than rounding.
    """

    dead: dict[str, Bool[Tensor, "*b _n"]]
    scale_ties: dict[str, Bool[Tensor, "*b _n"]]
    sign_ties: dict[str, Bool[Tensor, "*b _n"]]
    order_ties: dict[str, Bool[Tensor, "*b _n"]]

    @property
    def unique(self) -> Bool[Tensor, "*b"]:
        """Whether nothing is left open: every member of the orbit then has this canonical form."""
        kinds = [*self.scale_ties.values(), *self.sign_ties.values(), *self.order_ties.values()]
        return torch.stack([~kind.any(-1) for kind in kinds]).all(0) if kinds else torch.tensor(True)

    def __str__(self) -> str:
        named = {
            "dead": self.dead,
            "of unknown scale": self.scale_ties,
            "of unknown sign": self.sign_ties,
            "tied in their order": self.order_ties,
        }
        lines = [] if not bool(self.unique.all()) else ["unique"]
        for space in self.dead:
            counts = [f"{int(kind[space].sum())} {words}" for words, kind in named.items() if bool(kind[space].any())]
            if counts:
                lines.append(f"{space}: {', '.join(counts)}")
        return "\n".join(lines)
