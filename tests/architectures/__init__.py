"""Small but faithful networks of many kinds, on which symmetries are derived and checked."""

from . import attention, dense, images, lookups, recurrent, sets, signals, transformers
from ._registry import Architecture as Architecture
from .refused import REFUSED as REFUSED
from .refused import Refusal as Refusal

_KINDS = (dense, images, signals, sets, lookups, recurrent, attention, transformers)
ARCHITECTURES: dict[str, Architecture] = {entry.name: entry for kind in _KINDS for entry in kind.ARCHITECTURES}
