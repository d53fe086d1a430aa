"""Rules from outside: while a network is traced, a user's layer is stood in for by one with the same symmetry."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._errors import SpecError

Rules = Mapping[type[nn.Module], str]
"""By type of layer, how its parameters move: ``"out in~"`` or ``"h"``."""


@contextmanager
def standing_in(module: nn.Module, rules: Rules) -> Iterator[None]:
    """Inside, layers of the types in ``rules`` compute something simpler, with the symmetry that the rule says.

    ``"out in~"`` reads the last axis of its input by a weight ``[out, in]``, and may add a bias ``[out]``; ``"h"``
    keeps the neurons on the last axis, with parameters ``[h]`` that are permuted with them.

    Raises:
        SpecError: for another rule, or parameters that do not fit it.
    """
    changed: list[nn.Module] = []
    try:
        for path, layer in module.named_modules():
            rule = next((text for kind, text in rules.items() if isinstance(layer, kind)), None)
            if rule is not None:
                object.__setattr__(layer, "forward", _stand_in(path, layer, rule))
                changed.append(layer)
        yield
    finally:
        for layer in changed:
            object.__delattr__(layer, "forward")


def _stand_in(path: str, layer: nn.Module, rule: str) -> Callable[[Tensor], Tensor]:
    params = list(layer.parameters(recurse=False))
    where = f"the rule {rule!r} for {path!r} ({type(layer).__name__})"
    names = [name for name, _ in layer.named_parameters(recurse=False)]  # looked up again: tracing exchanges them
    if rule == "out in~":
        weights = [name for name, p in zip(names, params, strict=True) if p.ndim == 2]
        others = [name for name in names if name not in weights]
        if len(weights) == 1 and all(
            getattr(layer, name).shape == getattr(layer, weights[0]).shape[:1] for name in others
        ):
            return lambda x: sum(
                (getattr(layer, name) for name in others), start=F.linear(x, getattr(layer, weights[0]))
            )
        raise SpecError(
            f"{where} needs one weight [out, in] and else parameters [out], "
            f"got shapes {[list(p.shape) for p in params]}. "
            'Leave the layer out: ws.derive(net, example, on_unknown="pin").'
        )
    if rule == "h":
        if all(p.ndim == 1 for p in params):
            return lambda x: sum((torch.tanh(getattr(layer, name)) for name in names), start=torch.sigmoid(x))
        raise SpecError(
            f"{where} needs parameters [h], got shapes {[list(p.shape) for p in params]}. "
            'Leave the layer out: ws.derive(net, example, on_unknown="pin").'
        )
    raise SpecError(
        f'{where} cannot be read; there are two rules, "out in~" (a weight of its own on the last axis) and "h" '
        '(entry by entry). Type: ws.derive(net, example, rules={MyLayer: "out in~"}).'
    )
