"""Archives of Stable-Baselines3: a zip in which ``policy.pth`` is the state dict of all networks of an agent."""

import io
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

from ..._errors import ConfigError
from ._stored import Contents
from ._torch import read_torch

_POLICY = "policy.pth"


def read_sb3(path: Path) -> Contents:
    """The networks of an agent; the state of its optimizer and its settings are left out, and named.

    Raises:
        ConfigError: if it is damaged, or no archive of an agent.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            content = archive.read(_POLICY) if _POLICY in names else None
    except (
        OSError,
        ValueError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ConfigError(
            f"{path} is not a readable archive ({str(error) or type(error).__name__}). Save the agent again."
        ) from error
    if content is None:
        raise ConfigError(
            f"{path} is no archive of Stable-Baselines3: it holds no {_POLICY}. Name a file of tensors instead."
        )
    found = read_torch(path, io.BytesIO(content))
    return replace(found, left_out=(*found.left_out, *(name for name in names if name != _POLICY)))
