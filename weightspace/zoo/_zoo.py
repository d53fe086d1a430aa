"""A zoo on disk, opened for reading."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Int
from safetensors import SafetensorError
from torch import Tensor

from .._errors import ZooError
from .._types import Params
from ..spec import SymmetrySpec, parse
from ._any_config import OpenedConfig, parse_config
from ._store import (
    MAKE_AGAIN,
    MANIFEST,
    check_shard,
    load_weights,
    read_index,
    read_manifest,
    shard_names,
    weights_path,
)


@final
class Zoo:
    """Trained networks of one architecture with their hyper-parameters and metrics; a network is a row.

    Open one with :meth:`Zoo.open`, make one with :func:`make_zoo`, import one with :func:`import_zoo`.

    Attributes:
        path: Its folder.
        config: How it was made, or what it was imported from.
        spec: Symmetry spec of its networks.
        rows: Index, a numpy array per column, ordered by run and epoch. ``id`` is the run. Classifiers: ``train_*``
            were measured without dropout on the run's own training images (at most 5,000), ``val_*`` and ``test_*``
            on the halves of the official test images; losses in nats, accuracies in [0, 1]. INRs: ``image`` is the
            place in the split's images (``load_images(..., full_size=True)``), ``label`` its class, ``mse`` the
            mean square error of intensities in [0, 1], ``psnr`` is -10 log10 of it (dB). Imported zoos: what the
            collection says, see ``docs/zoo-format.md``.
    """

    def __init__(
        self, path: Path, config: OpenedConfig, arch: str, spec: SymmetrySpec, rows: dict[str, np.ndarray]
    ) -> None:
        self.path, self.config, self.spec, self.rows = path, config, spec, rows
        self._arch = arch

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, whole: bool = False) -> "Zoo":
        """The zoo in a folder; reads the index, and of each shard the header and a few blocks.

        Args:
            path: The folder.
            whole: Read all weights and compare them with their digests.

        Raises:
            ZooError: if the folder is not a zoo, a file is missing or damaged, or runs are missing.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        try:
            config = parse_config({**manifest["config"], "num": manifest["num"]})
            (arch, architecture), *_ = manifest["architectures"].items()
            spec = parse(architecture["spec"])
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ZooError(
                f"{folder / MANIFEST} is incomplete ({type(error).__name__}: {error}). Restore it, or make the zoo "
                "again in an empty folder: weightspace zoo make RECIPE --out DIR"
            ) from error
        parts = []
        for name in shard_names(folder):
            columns, metadata = read_index(folder, name)
            check_shard(folder, arch, name, len(columns["id"]), spec, metadata, whole=whole)
            parts.append(columns)
        ids = np.concatenate([part["id"] for part in parts]) if parts else np.empty(0, np.int64)
        have = len(np.unique(ids))
        if have < config.num or len(ids) != have * len(config.checkpoints):
            raise ZooError(
                f"zoo {folder} has {have} of its {config.num} runs: it was interrupted, or index parts are missing. "
                f"{MAKE_AGAIN.format(folder)}"
            )
        return cls(folder, config, arch, spec, {key: np.concatenate([p[key] for p in parts]) for key in parts[0]})

    def __len__(self) -> int:
        return len(self.rows["id"])

    def split(self, name: str) -> np.ndarray:
        """Row indices of ``train``, ``val`` or ``test``.

        All checkpoints of a run lie in one split; checkpoints of a run that had diverged lie in none.

        Raises:
            ZooError: for another name.
        """
        if name not in ("train", "val", "test"):
            raise ZooError(f"a zoo has no split {name!r}. Choose train, val or test.")
        return np.flatnonzero(self.rows["split"] == name)

    def load(self, indices: np.ndarray | Int[Tensor, " b"] | Sequence[int] | None = None) -> Params:
        """Stacked parameters of the given rows, in their order (default: of all); float32, counts are integers.

        Raises:
            ZooError: if a shard is damaged or holds a weight that is not finite.
        """
        chosen = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=np.int64)
        out: Params = {name: torch.empty(len(chosen), *self.spec.shape(name)) for name in self.spec.axes}
        shards = self.rows["shard"][chosen]
        for shard in np.unique(shards):
            places = np.flatnonzero(shards == shard)
            path = weights_path(self.path, self._arch, str(shard))
            try:
                loaded = load_weights(path, self.rows["row"][chosen[places]], list(out))
            except (OSError, SafetensorError) as error:
                raise ZooError(f"weights {path} cannot be read: {error}. {MAKE_AGAIN.format(self.path)}") from error
            for name, value in loaded.items():
                finite = value.isfinite().reshape(len(value), -1).all(1)
                if not finite.all():
                    row = chosen[places[int(finite.int().argmin())]]
                    raise ZooError(
                        f"weights {path} hold values that are not finite, the first in {name!r} of run "
                        f"{self.rows['id'][row]}, epoch {self.rows['epoch'][row]}. {MAKE_AGAIN.format(self.path)}"
                    )
                if out[name].dtype != value.dtype:
                    out[name] = out[name].to(value.dtype)
                out[name][torch.from_numpy(places)] = value
        return out
