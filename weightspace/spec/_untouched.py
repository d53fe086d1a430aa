"""A module that is run and left as it was, whatever its forward keeps for the next call."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ._inputs import Inputs

_Held = Any  # a dict, list or set
_Saved = list[tuple[_Held, _Held]]  # a container and a shallow copy of it

_OTHERS = (Tensor, nn.Module, type, ModuleType, FunctionType)
"""What has attributes that no forward pass changes, or that are looked at elsewhere."""


_Entry = tuple[_Held, Any, Tensor]  # a dict, a key, and the tensor that is kept there


@contextmanager
def untouched(module: nn.Module, inputs: Inputs) -> Iterator[nn.Module]:
    """The module in eval mode and without caches of earlier calls; afterwards it is as it was before.

    A module may keep what it computed from its parameters at the first call (attention biases, merged kernels). Other
    parameters would then meet old values, and a tracer leaves tensors without numbers behind. What forward keeps in
    attributes is taken away again. Modules with a ``train`` method of their own are copied: that is where caches are
    emptied, and weights are merged. A tensor that an earlier call has kept elsewhere is known by being made anew once
    it has been taken away.

    Args:
        module: The module.
        inputs: What it is run on.
    """
    twin = copied(module) if any(type(part).train is not nn.Module.train for part in module.modules()) else None
    saved: _Saved = []
    for part in module.modules() if twin is None else ():
        _save(vars(part), saved, depth=2)
    net = (module if twin is None else twin.train()).eval()
    try:
        for held, key, _ in _caches(net, inputs):
            _take(held, key)
        yield net
    finally:
        for held, before in saved:
            _restore(held, before)


def _caches(net: nn.Module, inputs: Inputs) -> list[_Entry]:
    """The tensors in attributes that forward makes again where they are missing."""
    kept: list[_Entry] = []
    for part in net.modules():
        saved: _Saved = []
        _save(vars(part), saved, depth=2)
        for held, before in saved:
            if isinstance(held, dict) and not any(held is own for own in (part._parameters, part._buffers)):
                kept += [(held, key, value) for key, value in before.items() if isinstance(value, Tensor)]
    together = _made_again(net, kept, inputs) if kept else []
    if together:
        return together
    # Some are constants, without which forward fails: all of one name at a time.
    alike: dict[Any, list[_Entry]] = {}
    for entry in kept:
        alike.setdefault(entry[1], []).append(entry)
    return [entry for some in alike.values() if len(some) < len(kept) for entry in _made_again(net, some, inputs)]


def _made_again(net: nn.Module, kept: list[_Entry], inputs: Inputs) -> list[_Entry]:
    for held, key, _ in kept:
        _take(held, key)
    try:
        with torch.no_grad():
            inputs.map(Tensor.clone).call(net)
        return [(held, key, value) for held, key, value in kept if isinstance(held.get(key), Tensor)]
    except Exception:  # whatever a module does where something of its own is missing: that was no cache
        return []
    finally:
        for held, key, value in kept:
            held[key] = value


def _take(held: _Held, key: Any) -> None:
    """Takes a tensor away: an attribute is None then, an entry of a dict is gone."""
    if isinstance(key, str) and "_parameters" in held:
        held[key] = None
    else:
        del held[key]


def copied(module: nn.Module) -> nn.Module | None:
    """A deep copy, if there can be one; results of computations in attributes cannot be copied and are shared."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        saved: _Saved = []
        _save(vars(part), saved, depth=2)
        for _, held in saved:
            values = held.values() if isinstance(held, dict) else held
            memo |= {id(value): value for value in values if isinstance(value, Tensor) and not value.is_leaf}
    try:
        return copy.deepcopy(module, memo)
    except (RuntimeError, TypeError):
        return None


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
