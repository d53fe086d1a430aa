"""How a task judges networks that an operator changed, outside a table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from torch import Tensor

from .._types import Params


@final
@dataclass(frozen=True)
class Judge:
    """A score of single networks before and after an operator.

    Attributes:
        name: What is measured, e.g. ``accuracy``.
        title: The same for people, with where it is measured.
        of: By network, its values, given the old and the new networks.
        text: A value as tables show it.
        picture: For networks that are pictures: PNG of one, old and new, by its place in the stacks.
    """

    name: str
    title: str
    of: Callable[[Params, Params], tuple[Tensor, Tensor]]
    text: Callable[[float | None], str]
    picture: Callable[[Params, Params, int], bytes] | None = None
