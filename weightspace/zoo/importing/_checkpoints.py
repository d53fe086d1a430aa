"""Anybody's folder of checkpoints: a table says which files there are, and what is known of each."""

import csv
import math
from functools import partial
from pathlib import Path, PurePosixPath

from ..._errors import ConfigError
from ..._types import Params
from ...files.checkpoint import open_network, wide
from ...files.naming import ties_of
from ...gauge import derive
from ...spec import SymmetrySpec
from .._imported_config import ImportedConfig
from ..targets import ModuleTarget
from ._collection import SPLITS, Collection, Columns, digest, networks_per_shard, stacked, tenths

FILE, SPLIT = "file", "split"
_LARGEST = 2.0**53
_OURS = ("id", "epoch", "arch", "shard", "row", "diverged")


def open_checkpoints(folder: Path, name: str, *, target: ModuleTarget, labels: Path) -> Collection:
    """The networks that a table lists, with its columns of numbers.

    Args:
        folder: Where they lie.
        name: Name of the format.
        target: Their architecture.
        labels: A ``.csv`` file with the column ``file`` (paths in the folder), any columns of numbers, and perhaps
            ``split``: train, val or test; without it splits are 80/10/10, drawn by a fixed seed.

    Raises:
        ConfigError: if the table cannot be read, names a file that is not there or an entry is no number.
    """
    lines = _lines(labels)
    files = [_file(folder, labels, number, line[FILE]) for number, line in lines]
    first: dict[str, int] = {}
    for (number, _), file in zip(lines, files, strict=True):
        if first.setdefault(file, number) != number:
            raise ConfigError(f"{labels}, line {number}: {file!r} is there twice. Take one line out.")
    names = list(lines[0][1])
    columns: Columns = {FILE: files, SPLIT: tenths(len(files))}
    if SPLIT in names:
        columns[SPLIT] = [_split(labels, number, line[SPLIT]) for number, line in lines]
    for key in names:
        if key not in (FILE, SPLIT):
            columns[key] = _numbers(labels, key, lines)
    module = target.build()
    spec = derive(module, target.example())
    config = ImportedConfig(
        format=name,
        source=folder.resolve().name,
        digest=digest(folder, files, [labels]),
        target=target,
        num=len(files),
        shard=networks_per_shard(spec.shape(name) for name in spec.axes),
    )
    return Collection(folder, config, columns, partial(_read, folder, files, spec, ties_of(module)))


def _read(
    folder: Path, files: list[str], spec: SymmetrySpec, ties: list[list[str]], places: range
) -> tuple[Params, Columns]:
    networks = []
    for place in places:
        found = wide(open_network(folder / files[place], spec, ties).load())
        networks.append({name: found[name] for name in spec.axes})
    return stacked(networks), {}


def _lines(labels: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows of the table with their line numbers."""
    try:
        with labels.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey=None, restval=None)
            names = list(reader.fieldnames or ())
            lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"cannot read --labels {labels}: {reason}. Name a .csv file with a column 'file'.") from error
    if FILE not in names or not lines:
        what = "no rows" if FILE in names else f"no column 'file': it has {', '.join(names[:12]) or 'none'}"
        raise ConfigError(f"--labels {labels} has {what}. Write a first line such as: file,label,split")
    wrong = next((name for name in names if name in _OURS or not name or names.count(name) > 1), None)
    if wrong is not None:
        what = "is a column that every zoo has" if wrong in _OURS else "is empty or there twice"
        raise ConfigError(f"--labels {labels}: the column name {wrong!r} {what}. Rename it.")
    for number, line in lines:
        if None in line or None in line.values():
            raise ConfigError(f"{labels}, line {number}: it has not as many entries as the first line. Mend it.")
    return lines


def _file(folder: Path, labels: Path, number: int, text: str) -> str:
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts:
        raise ConfigError(f"{labels}, line {number}: {text!r} is no path in {folder}. Write it relative to the folder.")
    if not (folder / path).exists():
        raise ConfigError(
            f"{labels}, line {number}: {folder / path} does not exist. Paths are relative to {folder}: check the line, "
            "or take it out."
        )
    return path.as_posix()


def _split(labels: Path, number: int, text: str) -> str:
    if text not in SPLITS:
        raise ConfigError(f"{labels}, line {number}: there is no split {text!r}. Write {', '.join(SPLITS)}.")
    return text


def _numbers(labels: Path, key: str, lines: list[tuple[int, dict[str, str]]]) -> list[int] | list[float]:
    """Whole numbers if all of them are, and not too large."""
    values = []
    for number, line in lines:
        try:
            values.append(float(line[key]))
        except ValueError:
            values.append(math.nan)
        if not math.isfinite(values[-1]):
            raise ConfigError(
                f"{labels}, line {number}: {line[key]!r} in the column {key!r} is no finite number. Mend it, or take "
                "the line or the column out."
            )
    texts = [line[key].strip() for _, line in lines]
    whole = all(text.removeprefix("-").isdecimal() for text in texts) and max(map(abs, values)) < _LARGEST
    return [int(text) for text in texts] if whole else values
