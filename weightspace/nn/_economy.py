"""Less memory for the same numbers: rounds computed twice instead of kept, networks read in pieces."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Recomputable(nn.Module):
    """A stack of rounds that can be computed again in the backward pass instead of kept."""

    checkpoint: bool = False

    def run(self, steps: Sequence[tuple[nn.Module, *tuple[Any, ...]]], state: Any) -> Any:
        """The state after all rounds; ``steps`` are rounds with what they take besides the state."""
        for one, *rest in steps:
            if self.checkpoint:
                # Generators of the devices of tensors among the arguments are set back; it looks into no dataclass.
                place = next(one.parameters())
                state = checkpoint(_on, place, one, state, *rest, use_reentrant=False)
            else:
                state = one(state, *rest)
        return state


def _on(_: Tensor, one: nn.Module, *args: Any) -> Any:
    return one(*args)


def checkpointed(model: nn.Module) -> nn.Module:
    """The same metanetwork, which keeps only the states between its rounds for the backward pass.

    Outputs and gradients are the same numbers; memory falls several times, a training step takes about a third longer.

    Args:
        model: Any metanetwork of this library; it is changed in place and returned.

    Raises:
        TypeError: if it has no rounds.
    """
    found = [part for part in model.modules() if isinstance(part, Recomputable)]
    if not found:
        raise TypeError(f"{type(model).__name__} has no rounds to compute again; give a metanetwork of weightspace.nn.")
    for part in found:
        part.checkpoint = True
    return model
