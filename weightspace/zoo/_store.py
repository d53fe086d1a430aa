"""Files of a zoo: immutable shards of stacked weights, each committed by its part of the index.

::

    zoo.json                             format, configuration, number of runs, architectures with their spec
    weights/ARCH/shard-00200.safetensors one tensor per parameter, stacked; spec in the metadata
    index/shard-00200.parquet            one row per network; the shard exists once this file does

A shard is named by its first run. Weights without an index part were never finished and are ignored.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .._errors import ZooError
from .._types import Params
from ..files import atomic
from ..spec import SymmetrySpec, parse, to_text

FORMAT = 1
_BLOCKS, _BLOCK = 16, 4096
MANIFEST = "zoo.json"
MAKE_AGAIN = (
    "Type the command that made it again, weightspace zoo make RECIPE --out {} (or zoo import): it repairs what is "
    "missing."
)


def shard_name(first: int) -> str:
    """File name, without ending, of the shard that starts with run ``first``."""
    return f"shard-{first:05d}"


def architecture_name(kind: str, spec: SymmetrySpec, activation: str) -> str:
    """Folder of an architecture: its kind and a hash of its layout."""
    layout = f"{activation}\n{to_text(spec)}"
    return f"{kind}-{hashlib.sha256(layout.encode()).hexdigest()[:12]}"


def weights_path(folder: Path, arch: str, name: str) -> Path:
    """Where the weights of a shard lie."""
    return folder / "weights" / arch / f"{name}.safetensors"


def index_path(folder: Path, name: str) -> Path:
    """Where the index part of a shard lies."""
    return folder / "index" / f"{name}.parquet"


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write ``zoo.json``."""
    atomic.write_json(folder / MANIFEST, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The content of ``zoo.json``.

    Raises:
        ZooError: if the folder is not a zoo, or one of a format this version does not know.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ZooError(
            f"{folder} is not a zoo: it has no {MANIFEST}. Make one: weightspace zoo make RECIPE --out {folder}"
        )
    try:
        manifest = json.loads(path.read_text())
        version = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ZooError(
            f"{path} cannot be read ({type(error).__name__}: {error}). Restore it, or make the zoo again in an "
            "empty folder: weightspace zoo make RECIPE --out DIR"
        ) from error
    if version != FORMAT:
        raise ZooError(
            f"{path} is of format {version}, this version reads format {FORMAT}. Install a weightspace of that "
            "format, or make the zoo again in an empty folder: weightspace zoo make RECIPE --out DIR"
        )
    return manifest


def write_shard(
    folder: Path, arch: str, first: int, spec: SymmetrySpec, params: Params, columns: dict[str, list[Any]]
) -> None:
    """Write the weights, then the index part that commits them.

    Args:
        folder: The zoo.
        arch: Name of the architecture.
        first: First run of the shard.
        spec: Spec of the architecture.
        params: Stacked parameters, a network per row of the index.
        columns: The index, column by column.

    Raises:
        ConfigError: if the disk is full or may not be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    name, text = shard_name(first), to_text(spec)
    # One metadata entry only: with several their order, and so the bytes, would be arbitrary.
    content = save({key: value.contiguous() for key, value in params.items()}, {"spec": text})
    atomic.write_bytes(weights_path(folder, arch, name), content)
    digests = {"weights_sha256": hashlib.sha256(content).hexdigest(), "weights_sample": _sample(io.BytesIO(content))}
    table = pa.table(columns).replace_schema_metadata({"spec": text, **digests})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    atomic.write_bytes(index_path(folder, name), sink.getvalue().to_pybytes())


def shard_names(folder: Path) -> list[str]:
    """Names of the committed shards, by first run."""
    return sorted((path.stem for path in (folder / "index").glob("shard-*.parquet")), key=lambda n: (len(n), n))


def read_index(folder: Path, name: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Columns and metadata of a shard's index part.

    Raises:
        ZooError: if the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = index_path(folder, name)
    try:
        table = pq.read_table(path)
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        columns = {key: table.column(key).to_numpy() for key in table.column_names}
    except (OSError, pa.ArrowException) as error:
        raise ZooError(f"index part {path} is damaged: {error}. {MAKE_AGAIN.format(folder)}") from error
    return columns, metadata


def check_shard(
    folder: Path,
    arch: str,
    name: str,
    num: int,
    spec: SymmetrySpec,
    metadata: Mapping[str, str],
    *,
    whole: bool = False,
) -> None:
    """Refuse a shard whose weights file is missing, truncated, or not what its index part says.

    Reads the header and a few blocks that the index part has a digest of (older ones have none), or the whole file.

    Raises:
        ZooError: naming the file and the first difference.
    """
    path = weights_path(folder, arch, name)
    if not path.is_file():
        raise ZooError(f"weights {path} are missing, but the index lists {num} networks. {MAKE_AGAIN.format(folder)}")
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            text = (file.metadata() or {}).get("spec", "")
    except (OSError, SafetensorError) as error:
        raise ZooError(f"weights {path} are truncated or damaged: {error}. {MAKE_AGAIN.format(folder)}") from error
    if not text or parse(text) != spec:
        raise ZooError(f"weights {path} are of another architecture than {spec}. {MAKE_AGAIN.format(folder)}")
    for key in spec.axes:
        want = (num, *spec.shape(key))
        if shapes.get(key) != want:
            raise ZooError(
                f"weights {path} hold {key!r} with shape {list(shapes.get(key, ()))}, its index part says "
                f"{list(want)}. {MAKE_AGAIN.format(folder)}"
            )
    if not (is_intact(folder, arch, name) if whole else _same_sample(path, metadata)):
        raise ZooError(
            f"weights {path} are not those that its index part was written for: they are damaged or were replaced. "
            f"{MAKE_AGAIN.format(folder)}"
        )


def _same_sample(path: Path, metadata: Mapping[str, str]) -> bool:
    with path.open("rb") as file:
        return metadata.get("weights_sample") in (None, _sample(file))


def _sample(file: io.BufferedIOBase) -> str:
    """Digest of the length of a file and of blocks evenly spaced over it, the first and the last among them."""
    size = file.seek(0, os.SEEK_END)
    found = hashlib.sha256(str(size).encode())
    for k in range(_BLOCKS):
        file.seek(max(size - _BLOCK, 0) * k // (_BLOCKS - 1))
        found.update(file.read(_BLOCK))
    return found.hexdigest()


def is_intact(folder: Path, arch: str, name: str) -> bool:
    """Whether the shard's weights are, byte for byte, those its index part was written for."""
    try:
        _, metadata = read_index(folder, name)
        digest = hashlib.sha256(weights_path(folder, arch, name).read_bytes()).hexdigest()
    except (ZooError, OSError):
        return False
    return digest == metadata.get("weights_sha256")


def clean(folder: Path, arch: str) -> None:
    """Remove what an interrupted or damaged shard has left: temporary files, then parts without their other half."""
    for temporary in [*folder.glob("*.tmp"), *folder.glob("index/*.tmp"), *folder.glob("weights/*/*.tmp")]:
        temporary.unlink()
    for name in shard_names(folder):
        if not is_intact(folder, arch, name):
            # First the index part: a kill in between leaves uncommitted weights, which are removed next time.
            index_path(folder, name).unlink()
    committed = set(shard_names(folder))
    for path in (folder / "weights").glob("*/shard-*.safetensors"):
        if path.stem not in committed:
            path.unlink()


def load_weights(path: Path, rows: np.ndarray, names: list[str]) -> dict[str, Tensor]:
    """The given rows of each parameter."""
    import torch

    index = torch.from_numpy(rows)
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name)[index] for name in names}
