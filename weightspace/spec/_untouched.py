"""A module that is run and left as it was, whatever its forward keeps for the next call."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from torch import Tensor, nn

_Held = Any  # a dict, list or set
_Saved = list[tuple[_Held, _Held]]  # a container and a shallow copy of it

_OTHERS = (Tensor, nn.Module, type, ModuleType, FunctionType)
"""What has attributes that no forward pass changes, or that are looked at elsewhere."""


@contextmanager
def untouched(module: nn.Module) -> Iterator[nn.Module]:
    """The module in eval mode and without caches of earlier calls; afterwards it is as it was before.

    A module may keep what it computed from its parameters at the first call (attention biases, merged kernels). Other
    parameters would then meet old values, and a tracer leaves tensors without numbers behind. What forward keeps in
    attributes is taken away again. Modules with a ``train`` method of their own are copied: that is where caches are
    emptied, and weights are merged.
    """
    twin = copied(module) if any(type(part).train is not nn.Module.train for part in module.modules()) else None
    if twin is not None:
        yield twin.train().eval()
        return
    saved = [entry for part in module.modules() for entry in held_in(part)]
    try:
        yield module.eval()
    finally:
        for held, before in saved:
            _restore(held, before)


def copied(module: nn.Module) -> nn.Module | None:
    """A deep copy, if there can be one; results of computations in attributes cannot be copied and are shared."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for _, held in held_in(part):
            values = held.values() if isinstance(held, dict) else held
            memo |= {id(value): value for value in values if isinstance(value, Tensor) and not value.is_leaf}
    try:
        return copy.deepcopy(module, memo)
    except (RuntimeError, TypeError):
        return None


def held_in(part: nn.Module) -> _Saved:
    """The containers in a module's attributes, each with a shallow copy."""
    saved: _Saved = []
    _save(vars(part), saved, depth=2)
    return saved


def _save(held: _Held, saved: _Saved, depth: int) -> None:
    saved.append((held, held.copy()))
    if depth and isinstance(held, dict):
        for value in held.values():
            inside = value if isinstance(value, dict | list | set) else getattr(value, "__dict__", None)
            if isinstance(inside, dict | list | set) and not isinstance(value, _OTHERS):
                _save(inside, saved, depth - 1)


def _restore(held: _Held, before: _Held) -> None:
    if isinstance(held, list):
        held[:] = before
    else:
        held.clear()
        held.update(before)
