"""Use a trained operator: change one network, or a folder of them, in a single forward pass."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch

from ..._errors import ConfigError
from ..._types import Params, Progress
from ...files import atomic
from ...files.folder import LeftOut, each, find_networks
from ...files.writer import targets
from ...nn import AbstractOperator
from ...tasks import in_passes
from .. import models
from .changed import read_network, stack, write_changed

_BATCH = 32


@final
@dataclass(frozen=True)
class Applied:
    """One changed network: file read and written, the change, and a score where the task has one.

    ``max_change`` is the largest absolute change of a parameter, ``relative_change`` the norm of all changes over
    the norm of all parameters. ``score`` names what ``before`` and ``after`` are, and ``title`` says where it was
    measured (accuracies are fractions). ``picture`` is a file that shows the network before and after.
    ``activation`` is the operator's; ``assumed`` says that the network's file does not name its own.
    """

    file: str
    out: str
    max_change: float
    relative_change: float
    score: str = ""
    title: str = ""
    before: float | None = None
    after: float | None = None
    picture: str | None = None
    activation: str = ""
    assumed: bool = False

    def to_json(self) -> dict[str, Any]:
        """The row as plain data."""
        return asdict(self)


def apply(
    source: str | Path,
    path: str | Path | Sequence[Path],
    out: str | Path,
    *,
    recursive: bool = False,
    left_out: list[LeftOut] | None = None,
    data_dir: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Applied]:
    """Write the networks at ``path``, changed by an operator, to ``out``; one row per network.

    All networks are read, changed and checked before the first is written. Names, dtypes, metadata and file names
    stay; ``activation`` is added to the metadata. The task judges every network before and after, where it can
    (:meth:`weightspace.tasks.AbstractTask.judge`); networks that are pictures are drawn beside their files.

    Args:
        source: Run folder, checkpoint file, or name of a pretrained operator.
        path: A network file, a folder of them, or several of either.
        out: File for one network, folder for a folder.
        recursive: Whether to look into folders inside folders.
        left_out: Gets the networks that cannot be used; without it, the first of them is an error.
        data_dir: Folder of image sets; ``digits`` needs none.
        overwrite: Write pictures over other files of their names.
        progress: Called with networks done, networks in all, and a message.

    Raises:
        ConfigError: if the operator or a file cannot be read or written.
        SpecMismatch: if a network is of another architecture or activation, or holds values that are not finite.
    """
    loaded = models.load(models.find(source))
    named = [Path(path)] if isinstance(path, (str, Path)) else list(path)
    files = find_networks(named, recursive=recursive)
    place_of = dict(zip(files, targets(files, named, Path(out)), strict=True))
    if not isinstance(loaded.module, AbstractOperator):
        raise ConfigError(
            f"{source} reads networks and writes none (task {loaded.task.kind!r}). Call read_networks; at the command "
            "line, weightspace apply does."
        )
    activation = loaded.target.nonlinearity
    found = each(files, lambda file: read_network(file, loaded.spec, activation, loaded.target), left_out)
    read = [network for _, network in found]
    judge = loaded.task.judge(loaded.target, loaded.about, data_dir)
    rows: list[Applied] = []
    changed: list[tuple[Params, Params]] = []
    for start in range(0, len(read), _BATCH):
        some = read[start : start + _BATCH]
        old = stack(some)
        new = in_passes(loaded.module, old, _BATCH)
        changed.append((old, new))
        before, after = ([None] * len(some),) * 2 if judge is None else (found.tolist() for found in judge.of(old, new))
        for index, network in enumerate(some):
            _check_finite(network.path, new, index)
            change = _flat(new, index) - _flat(old, index)
            rows.append(
                Applied(
                    file=str(network.path),
                    out=str(place_of[network.path]),
                    max_change=float(change.abs().max()),
                    relative_change=float(change.norm() / _flat(old, index).norm().clamp_min(1e-12)),
                    score="" if judge is None else judge.name,
                    title="" if judge is None else judge.title,
                    before=before[index],
                    after=after[index],
                    picture=None if judge is None or judge.picture is None else f"{place_of[network.path]}.png",
                    activation=activation,
                    assumed=network.activation is None,
                )
            )
        if progress is not None:
            progress(len(rows), len(read), "applying")
    if not overwrite:
        _check_pictures(rows)
    # Only now, when nothing can be refused any more.
    for number, network in enumerate(read):
        batch, index = divmod(number, _BATCH)
        write_changed(network, *changed[batch], index, place_of[network.path], activation)
        picture = rows[number].picture
        if picture is not None and judge is not None and judge.picture is not None:
            atomic.write_bytes(Path(picture), judge.picture(*changed[batch], index))
    return rows


def _check_pictures(rows: Sequence[Applied]) -> None:
    for row in rows:
        # A picture is written after its network: where that is missing, it is of something else.
        if row.picture is not None and Path(row.picture).exists() and not Path(row.out).exists():
            raise ConfigError(
                f"{row.picture} is there already, where a picture of the new network would be written. Add --overwrite "
                "to replace it, or choose another --out."
            )


def _check_finite(path: Path, new: Params, index: int) -> None:
    for name, value in new.items():
        if not bool(value[index].isfinite().all()):
            raise ConfigError(
                f"the operator's output for {path} is not finite at {name!r}: the network is too unlike those it was "
                "trained on. Nothing was written; leave it out."
            )


def _flat(params: Params, index: int) -> torch.Tensor:
    return torch.cat([value[index].flatten() for value in params.values()]).double()
