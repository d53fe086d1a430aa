"""Formats of network files, one small module for each; all give the same: :class:`Contents`."""

from collections.abc import Callable
from pathlib import Path

from ..._errors import ConfigError
from ._npz import read_npz, write_npz
from ._onnx import read_onnx
from ._safetensors import read_safetensors
from ._sb3 import read_sb3
from ._stored import DTYPES, Contents, Place, Stored, check_file, fill, held, missing, size
from ._torch import read_torch

READERS: dict[str, Callable[[Path], Contents]] = {
    ".safetensors": read_safetensors,
    ".pt": read_torch,
    ".pth": read_torch,
    ".ckpt": read_torch,
    ".bin": read_torch,
    ".npz": read_npz,
    ".zip": read_sb3,
    ".onnx": read_onnx,
}
"""By the end of a file's name."""

TORCH = (".pt", ".pth", ".ckpt", ".bin")
"""Ends of names of torch files."""

WRITTEN = (".safetensors", *TORCH, ".npz")
"""Ends of names that a network can be written under."""


def read_file(path: Path) -> Contents:
    """What a network file holds.

    Raises:
        ConfigError: if there is no such file, its name ends otherwise, or it cannot be read.
    """
    check_file(path)
    if path.suffix not in READERS:
        raise ConfigError(f"{path} is no network file: its name should end in {', '.join(READERS)}. Convert it.")
    return READERS[path.suffix](path)


__all__ = [
    "DTYPES",
    "READERS",
    "TORCH",
    "WRITTEN",
    "Contents",
    "Place",
    "Stored",
    "check_file",
    "fill",
    "held",
    "missing",
    "read_file",
    "read_safetensors",
    "size",
    "write_npz",
]
