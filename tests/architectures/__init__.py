"""Small but faithful networks of many kinds, on which symmetries are derived and checked."""

from . import dense, images
from ._registry import Architecture

ARCHITECTURES: dict[str, Architecture] = {entry.name: entry for entry in (*dense.ARCHITECTURES, *images.ARCHITECTURES)}
