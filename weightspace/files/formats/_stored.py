"""A tensor as a file has it: its shape and number type, and where its numbers are."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import torch
from jaxtyping import Shaped
from torch import Tensor

from ..._errors import ConfigError

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
}
"""Number types by the word in the header of a safetensors file, in the order, last to first, of its tensors."""


@final
@dataclass(frozen=True)
class Place:
    """Where the bytes of a tensor begin."""

    file: Path
    start: int


@final
@dataclass(frozen=True, eq=False)
class Stored:
    """One tensor: read in spans from its place in a file, or in memory already.

    A format without a header of fixed places is read whole; its tensors are held.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    at: Place | Tensor

    def spans(self, starts: Sequence[int], length: int) -> Shaped[Tensor, "s l"]:
        """As many entries from each of the starts.

        Raises:
            ConfigError: if the file cannot be read (any more).
        """
        if isinstance(self.at, Tensor):
            flat = self.at.reshape(-1)
            return torch.stack([flat[start : start + length] for start in starts])
        return _read(self.at, self.dtype, starts, length)

    @property
    def num_bytes(self) -> int:
        """Size in memory."""
        return size(self.shape, self.dtype)


@final
@dataclass(frozen=True, eq=False)
class Contents:
    """What one file holds.

    Attributes:
        tensors: Under their names there.
        metadata: Of the whole file.
        left_out: Entries that are no tensors.
        exported: Where tensors are named by their order: the names that the exporter gave them.
        branch: Why the order does not say which tensor is which; empty if it does.
        numbers: Plain numbers beside the tensors, e.g. an epoch.
    """

    tensors: dict[str, Stored]
    metadata: dict[str, str]
    left_out: tuple[str, ...] = ()
    exported: dict[str, str] = field(default_factory=dict)
    branch: str = ""
    numbers: dict[str, int | float] = field(default_factory=dict)


def check_file(path: Path) -> None:
    """Raise unless there is a file.

    Raises:
        ConfigError: saying what is there instead.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is not a file. Name a network file." if path.exists() else missing(path))


def missing(path: Path) -> str:
    """What to say of a path at which there is nothing."""
    near = next(parent for parent in path.parents if parent.is_dir())
    return f"{path} does not exist. Check the path, e.g. with: ls {near}"


def size(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """Bytes of a tensor."""
    return torch.Size(shape).numel() * dtype.itemsize


def held(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Stored]:
    """Tensors in memory, once it is sure that each has numbers of a type that is read here.

    Raises:
        ConfigError: naming the first that has not.
    """
    for name, value in tensors.items():
        wrong = _unreadable(value)
        if wrong:
            raise ConfigError(f"{path}: {name!r} {wrong}")
    return {name: Stored(tuple(value.shape), value.dtype, value.detach()) for name, value in tensors.items()}


def _unreadable(value: Tensor) -> str:
    """What keeps a tensor from being read, and what to do; empty if nothing does."""
    if value.is_quantized:
        return "is quantized. Save its numbers: value.dequantize()"
    if value.is_nested or value.layout != torch.strided:
        return "is stored as a sparse or nested tensor. Save it as an ordinary one: value.to_dense()"
    if value.is_meta:
        return "has no numbers: it was saved from the meta device. Load the weights, then save the network again."
    if value.dtype not in DTYPES.values():
        word = str(value.dtype).removeprefix("torch.")
        return f"is in numbers of type {word}, which are not read here. Convert it to one of: {', '.join(DTYPES)}."
    return ""


def _read(place: Place, dtype: torch.dtype, starts: Sequence[int], length: int) -> Tensor:
    """Spans of a tensor in a file. Mapping the file instead would keep every page in memory that was ever read."""
    value = torch.empty(len(starts), length, dtype=dtype)
    try:
        with place.file.open("rb", buffering=0) as file:
            for start, span in zip(starts, value.view(torch.uint8).numpy(), strict=True):
                file.seek(place.start + start * dtype.itemsize)
                if not fill(file, memoryview(span)):
                    raise ConfigError(
                        f"{place.file} has become shorter while it was read. Write it again, then run this again."
                    )
    except OSError as error:
        raise ConfigError(f"cannot read {place.file}: {error.strerror}. Check the file and run again.") from error
    return value


def fill(file: io.RawIOBase, buffer: memoryview) -> bool:
    """Whether the file has as many bytes more; one call of the system reads at most two gibibytes."""
    done = 0
    while done < len(buffer):
        count = file.readinto(buffer[done:])
        if not count:
            return False
        done += count
    return True
