"""Which processes made a run: versions, commit, command, threads and start of each, in ``environment.json``."""

import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ..files import atomic
from . import record

_PACKAGES = ("weightspace", "torch", "numpy", "safetensors", "pydantic", "lightning-fabric", "pyarrow")


def add_process(folder: Path, *, first: bool = False) -> None:
    """Note this process in the folder's ``environment.json``.

    The file holds the entries of the process that began the run and, under ``continued``, those of every later one.

    Args:
        folder: The run's folder.
        first: Forget what is there: the run begins now.

    Raises:
        ConfigError: if the file cannot be read or written.
    """
    path = folder / record.ENVIRONMENT
    now = environment()
    if not first and path.is_file():
        begun = atomic.read_json(path)
        now = begun | {"continued": [*begun.get("continued", []), now]}
    atomic.write_json(path, now)


def environment() -> dict[str, Any]:
    """Start, versions, commit, command and threads of this process."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.system() + "-" + platform.machine(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "threads": torch.get_num_threads(),
        "command": command(),
        "commit": record.commit(),
    }


def command() -> str:
    """The command line of this process, program name without its folder."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
