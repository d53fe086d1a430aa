"""What forward has kept of a module's parameters, found by trials on copies."""

from typing import Any

import torch
from torch import Tensor, nn

from ._inputs import Inputs
from ._untouched import copied, held_in

_Entry = tuple[dict[Any, Any], Any, Tensor]  # a dict, a key, and the tensor that is kept there

_MOST_TRIALS = 16
"""Names of attributes that are tried one by one."""


def without_caches(module: nn.Module, inputs: Inputs) -> nn.Module:
    """The module; or a copy without the tensors that an earlier call has kept of its parameters.

    Such a tensor, in an attribute or in a dict there, is known by trials on copies: forward makes it again, to the same
    numbers, where it is missing, and to others with other parameters. What somebody has set, and states that forward
    goes on with, are left alone.

    Args:
        module: The module.
        inputs: What it is run on.
    """
    kept = _kept(module)
    caches = _caches(module, inputs, kept) if kept else []
    twin = copied(module) if caches else None
    if twin is None:
        return module
    _take(_kept(twin), caches)
    return twin


def _kept(module: nn.Module) -> list[_Entry]:
    """All tensors in attributes that are no parameters or buffers, in an order that copies share."""
    found: dict[tuple[int, Any], _Entry] = {}
    for part in module.modules():
        for held, before in held_in(part):
            if isinstance(held, dict) and not any(held is own for own in (part._parameters, part._buffers)):
                for key, value in before.items():
                    if isinstance(value, Tensor):
                        found[id(held), key] = (held, key, value)
    return list(found.values())


def _caches(module: nn.Module, inputs: Inputs, kept: list[_Entry]) -> list[int]:
    """Places, among all that is kept, of what forward makes again of the parameters."""
    every = list(range(len(kept)))
    found = _made_again(module, inputs, every)
    alike: dict[Any, list[int]] = {}
    for place in every:
        alike.setdefault(kept[place][1], []).append(place)
    if found or len(alike) < 2:
        return found
    # Some are constants, without which forward fails: all of one name at a time, what was found stays away.
    for places in list(alike.values())[:_MOST_TRIALS]:
        found = _made_again(module, inputs, [*found, *places]) or found
    return found


def _made_again(module: nn.Module, inputs: Inputs, places: list[int]) -> list[int]:
    same = _run(module, inputs, places, 1.0)
    other = _run(module, inputs, list(same), 1.5) if same else {}
    before = _kept(module)
    return [
        place
        for place, value in same.items()
        if _equal(value, before[place][2]) and place in other and not _equal(other[place], before[place][2])
    ]


def _run(module: nn.Module, inputs: Inputs, places: list[int], factor: float) -> dict[int, Tensor]:
    """What a copy with these entries taken away, and parameters times a factor, then holds there."""
    twin = copied(module)
    if twin is None:
        return {}
    entries = _kept(twin)
    _take(entries, places)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for param in twin.parameters():
                param.mul_(factor)
            inputs.call(twin.eval())
    except Exception:  # whatever a module does where something of its own is missing: that was no cache
        return {}
    now = {place: entries[place][0].get(entries[place][1]) for place in places}
    return {place: value for place, value in now.items() if isinstance(value, Tensor)}


def _take(entries: list[_Entry], places: list[int]) -> None:
    """Takes tensors away: an attribute is None then, an entry of a dict is gone."""
    for place in places:
        held, key, _ = entries[place]
        if "_parameters" in held:
            held[key] = None
        else:
            del held[key]


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype or one.is_meta or other.is_meta:
        return False
    return torch.allclose(one, other, rtol=1e-4, atol=1e-6, equal_nan=True)
