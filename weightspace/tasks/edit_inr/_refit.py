"""What optimization makes of the same networks: each is fitted to its edited image, from where it stands."""

import torch

from ..._types import Params
from ...zoo import SirenTarget
from .edits import Images


def refitted(params: Params, goals: Images, target: SirenTarget, steps: int, learning_rate: float) -> Params:
    """The networks after some steps of Adam on the squared error of all pixels.

    Args:
        params: Stacked INRs.
        goals: What they are to show.
        target: Their architecture.
        steps: Of Adam, with torch's constants.
        learning_rate: Constant.
    """
    with torch.enable_grad():
        moving = {name: value.clone().requires_grad_() for name, value in params.items()}
        optimizer = torch.optim.Adam(list(moving.values()), learning_rate)
        for _ in range(steps):
            optimizer.zero_grad()
            shown = target.pictures(moving, goals.shape[-1])
            # A sum over networks: Adam works entry by entry, so none sees another.
            (shown - goals).square().mean((1, 2, 3)).sum().backward()
            optimizer.step()
    return {name: value.detach() for name, value in moving.items()}
