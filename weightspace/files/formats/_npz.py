"""NumPy archives: one array for each name; read and written whole, never with pickles."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from ..._errors import ConfigError
from ._stored import Contents, held


def read_npz(path: Path) -> Contents:
    """The numeric arrays of an archive; texts and dates are left out, and named.

    Raises:
        ConfigError: if it is damaged, holds Python objects, or numbers of a type that is not read here.
    """
    tensors: dict[str, Tensor] = {}
    left_out: list[str] = []
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                array = archive[name]
                if array.dtype.kind not in "biufc":
                    left_out.append(name)
                    continue
                # What another machine wrote may have its bytes in the other order.
                tensors[name] = torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))
    except (OSError, ValueError, EOFError, TypeError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{path} is not a readable archive of arrays ({str(error) or type(error).__name__}). "
            "Write it with numpy.savez(path, **arrays), without Python objects."
        ) from error
    return Contents(held(path, tensors), {}, tuple(left_out))


def write_npz(file: BinaryIO, tensors: Mapping[str, Tensor]) -> None:
    """Write an archive of arrays; the same tensors give the same bytes.

    Raises:
        ConfigError: for a number type that NumPy does not have.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, value in tensors.items():
            if value.is_floating_point() and value.dtype not in (torch.float16, torch.float32, torch.float64):
                raise ConfigError(
                    f"{name!r} is {value.dtype}, which a .npz archive cannot hold. Choose --out with .safetensors."
                )
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, value.contiguous().numpy(), allow_pickle=False)
