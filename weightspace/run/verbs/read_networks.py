"""Use a trained functional: read something off one network, or a folder of them."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..._errors import ConfigError
from ..._types import Progress
from ...files import atomic
from ...files.folder import LeftOut, each, find_networks
from ...nn import AbstractFunctional
from ...tasks import AbstractReading
from .. import models
from .changed import read_network, stack

_BATCH = 32


def reads(source: str | Path) -> bool:
    """Whether a trained metanetwork reads networks, and writes none.

    Raises:
        ConfigError: if it cannot be read.
    """
    return isinstance(models.load(models.find(source)).task, AbstractReading)


def read_networks(
    source: str | Path,
    path: str | Path | Sequence[Path],
    out: str | Path | None = None,
    *,
    recursive: bool = False,
    left_out: list[LeftOut] | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """What a functional says of the networks at ``path``: a row each, ``file`` first.

    Args:
        source: Run folder, checkpoint file, or name of a pretrained functional.
        path: A network file, a folder of them, or several of either.
        out: ``.csv`` or ``.json`` file of the rows.
        recursive: Whether to look into folders inside folders.
        left_out: Gets the networks that cannot be used; without it, the first of them is an error.
        progress: Called with networks done, networks in all, and a message.

    Raises:
        ConfigError: if the functional or a file cannot be read or written, or ``source`` is an operator.
        SpecMismatch: if a network is of another architecture or activation, or holds values that are not finite.
    """
    if out is not None and Path(out).suffix not in (".csv", ".json"):
        raise ConfigError(f"{out} is no .csv or .json file. What is read off networks is a table: --out answers.csv")
    loaded = models.load(models.find(source))
    if not isinstance(loaded.task, AbstractReading) or not isinstance(loaded.module, AbstractFunctional):
        raise ConfigError(f"{source} changes networks (task {loaded.task.kind!r}) and reads nothing off them.")
    named = [Path(path)] if isinstance(path, (str, Path)) else list(path)
    files = find_networks(named, recursive=recursive)
    activation = loaded.target.nonlinearity
    found = each(files, lambda file: read_network(file, loaded.spec, activation, loaded.target), left_out)
    read = [network for _, network in found]
    rows: list[dict[str, Any]] = []
    for start in range(0, len(read), _BATCH):
        some = read[start : start + _BATCH]
        with torch.no_grad():
            said = loaded.task.said(loaded.module(stack(some)), loaded.about)
        rows += [{"file": str(network.path), **one} for network, one in zip(some, said, strict=True)]
        if progress is not None:
            progress(len(rows), len(read), "reading")
    if out is not None:
        atomic.write_text(Path(out), _text(rows, Path(out).suffix))
    return rows


def _text(rows: Sequence[dict[str, Any]], suffix: str) -> str:
    if suffix == ".json":
        return json.dumps(rows, indent=1) + "\n"
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(rows[0]) if rows else ["file"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue()
