"""A run's folder: everything written whole or not at all, and read with errors a user can act on."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .._errors import ConfigError
from .._types import Params

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
SPEC = "spec.txt"
METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint.safetensors"
RESUME = "resume.safetensors"
RESULTS = "results.json"
TABLE = "results.md"
CELLS = "cells"

_PACKAGES = ("weightspace", "torch", "numpy", "safetensors", "pydantic", "lightning-fabric", "pyarrow")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file at once: a reader sees the old file or the new one, also after a kill or a full disk.

    Raises:
        ConfigError: if the folder cannot be written or the disk is full; the old file is left as it was.
    """
    # Always the same name: what a killed process left behind is overwritten by the next one.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise ConfigError(
            f"cannot write {path}: {error.strerror or error}. Nothing was half-written. "
            "Free some space or choose another place with --out."
        ) from error


def write_text(path: Path, text: str) -> None:
    """:func:`write_bytes` for text."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """:func:`write_bytes` for JSON, indented."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        ConfigError: if it cannot be read.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}. Remove the file and run the same command again.") from error


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file at once (see :func:`write_bytes`)."""
    ready = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    write_bytes(path, save(ready, dict(metadata)))


def load_tensors(path: Path) -> tuple[Params, dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        ConfigError: if it is missing, truncated or no safetensors file.
    """
    if not path.is_file():
        raise ConfigError(f"there is no file {path}. Check the path, e.g. with ls {path.parent}.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is not a readable safetensors file ({error}). It is truncated or of another format; "
            "write it again."
        ) from error


def environment() -> dict[str, Any]:
    """Versions, commit, command and threads of this process, for ``environment.json``."""
    return {
        "python": platform.python_version(),
        "platform": platform.system() + "-" + platform.machine(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "threads": torch.get_num_threads(),
        "command": command(),
        "commit": commit(),
    }


def command() -> str:
    """The command line of this process, program name without its folder."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def commit() -> str:
    """The commit of the library's source, or ``""`` for an installed package."""
    try:
        folder = Path(__file__).parents[2]
        if not (folder / ".git").exists():
            return ""
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def append_metrics(folder: Path, line: Mapping[str, Any]) -> None:
    """Add one line to ``metrics.jsonl``."""
    try:
        with (folder / METRICS).open("a") as file:
            file.write(json.dumps(dict(line)) + "\n")
    except OSError as error:
        raise ConfigError(
            f"cannot write {folder / METRICS}: {error.strerror or error}. "
            "Free some space or choose another place with --out DIR."
        ) from error


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of ``metrics.jsonl``."""
    lines: list[dict[str, Any]] = []
    path = folder / METRICS
    for text in path.read_text().splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            # The last line of a killed run may be cut; it is written again on resuming.
            continue
    return lines


def keep_metrics(folder: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Drop the lines that a resumed run will write again."""
    lines = [line for line in read_metrics(folder) if keep(line)]
    write_text(folder / METRICS, "".join(json.dumps(line) + "\n" for line in lines))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
