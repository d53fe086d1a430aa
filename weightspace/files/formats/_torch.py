"""Torch files, read without running code: a state dict, bare or inside what a training loop saves beside it."""

import io
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import safe_globals

from ..._errors import ConfigError
from ._stored import Contents, held

KEYS = ("state_dict", "model_state_dict", "model", "module", "params", "weights", "net", "network")
"""Entries under which a network lies, the most telling first."""

_BESIDE = re.compile(r"optim|sched|scaler|callback|loop|hyper|config|args|rng|ema|best|average")
"""Words in the names of entries that hold something else than the network."""


_DATA = (
    "argparse.Namespace",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "numpy.dtypes.Float32DType",
    "numpy.dtypes.Float64DType",
    "numpy.dtypes.Int64DType",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
)
"""Classes of settings and scores that training loops save beside a network; none of them is made, see ``Inert``."""

_DAMAGED = (
    *(RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError),
    *(TypeError, AssertionError, RecursionError),
)
"""What reading a damaged file raises depends on the byte that is wrong."""


class Inert(dict[Any, Any]):
    """Stands where an object that is not needed was saved: nothing of its class is run."""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass


def read_torch(path: Path, file: io.BytesIO | None = None) -> Contents:
    """The state dict in a torch file, its tensors on the CPU.

    Entries that are no tensors (an epoch, the state of an optimizer) are left out, and named.

    Args:
        path: Names the file in messages.
        file: What to read instead, if it lies in an archive.

    Raises:
        ConfigError: if the file is damaged, holds objects that only running code could read, or no state dict.
    """
    value = _load(path, file)
    left_out: list[str] = []
    where = ""
    while isinstance(value, Mapping):
        key = _network_in(value)
        if key is None:
            break
        left_out += [where + str(name) for name in value if name != key]
        value, where = value[key], f"{where}{key}."
    found = _tensors(path, value, left_out, where)
    if not found:
        raise ConfigError(
            f"{path} holds no state_dict (names to tensors). Save it with torch.save(net.state_dict(), path)."
        )
    numbers = {str(key): item for key, item in value.items() if type(item) in (int, float)}
    return Contents(held(path, found), {}, tuple(left_out), numbers=numbers)


def _load(path: Path, file: io.BytesIO | None) -> Any:
    try:
        with warnings.catch_warnings(), safe_globals([(Inert, name) for name in _DATA]):
            warnings.simplefilter("ignore")  # of number types that are refused afterwards
            return torch.load(path if file is None else file, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        said = str(error)
    code = re.search(r"GLOBAL ([\w.]+)", said)
    if code is not None:
        raise ConfigError(
            f"{path} cannot be read as a file of tensors: it holds an object of {code[1]}, whose code would be run. "
            "Where you trust the file, save the tensors alone: torch.save(net.state_dict(), path)"
        )
    reason = said.strip().splitlines()[0] if said.strip() else "it is empty or ends too early"
    raise ConfigError(
        f"{path} cannot be read as a file of tensors ({reason}). "
        "Save it with torch.save(net.state_dict(), path), or as safetensors."
    )


def _network_in(value: Mapping[Any, Any]) -> str | None:
    """The entry that holds the network; ``None`` if that is ``value`` itself."""
    inside = [key for key, item in value.items() if isinstance(item, Mapping) and _holds_tensors(item)]
    for key in KEYS:
        if key in inside:
            return key
    # Parts of one network (encoder, decoder) stay together under names of their own.
    networks = [key for key in inside if isinstance(key, str) and not _BESIDE.search(key.lower())]
    return networks[0] if len(networks) == 1 and not _has_weights(value) else None


def _has_weights(value: Mapping[Any, Any]) -> bool:
    """Whether there are tensors with an axis: a scalar beside a network is a score or a step."""
    return any(isinstance(item, Tensor) and item.ndim for item in value.values())


def _holds_tensors(value: Mapping[Any, Any]) -> bool:
    return any(isinstance(v, Tensor) or (isinstance(v, Mapping) and _holds_tensors(v)) for v in value.values())


def _tensors(path: Path, value: Any, left_out: list[str], where: str) -> dict[str, Tensor]:
    """The tensors in nested dictionaries under names with dots; adds the names of what is no tensor."""
    found: dict[str, Tensor] = {}
    for key, item in value.items() if isinstance(value, Mapping) else ():
        if isinstance(item, Tensor):
            if not isinstance(key, str):
                raise ConfigError(
                    f"{path} names a tensor by {key!r}, not by a word. Save it with torch.save(net.state_dict(), path)."
                )
            found[key] = item
        elif isinstance(item, Mapping) and isinstance(key, str) and _holds_tensors(item) and not _BESIDE.search(key):
            found |= {
                f"{key}.{name}": inner for name, inner in _tensors(path, item, left_out, f"{where}{key}.").items()
            }
        else:
            left_out.append(f"{where}{key}")
    return found
