"""The table of splits beside INRs of DWSNets: paths of another machine, of which the last parts count."""

import json
from pathlib import Path
from typing import Any

from ..._errors import ConfigError
from ._collection import SPLITS

CLASSES = 10


def read_table(folder: Path, table: Path, files: list[str]) -> tuple[list[str], list[int | None]]:
    """By file its split, and its label if the table says it.

    Args:
        folder: Of the networks.
        table: The JSON object ``{split: [paths]}`` or ``{split: {"path": [...], "label": [...]}}``.
        files: Paths in the folder; the last two parts of each have to tell them apart, or the last three.

    Raises:
        ConfigError: if it cannot be read, or is not about exactly these files, each once.
    """
    try:
        content = json.loads(table.read_text())
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"cannot read the table of splits {table}: {reason}. Fetch it again, or name another."
        ) from error
    if not isinstance(content, dict) or not content or set(content) - set(SPLITS):
        raise ConfigError(
            f"{table} is no table of splits. Write the JSON object "
            '{"train": [paths], "val": [paths], "test": [paths]}, or leave --split-file out.'
        )
    depth = next((depth for depth in (2, 3) if len({_last(file, depth) for file in files}) == len(files)), 99)
    place_of = {_last(file, depth): place for place, file in enumerate(files)}
    splits = [""] * len(files)
    labels: list[int | None] = [None] * len(files)
    for split, entry in content.items():
        paths, classes = _entry(table, split, entry)
        for path, label in zip(paths, classes, strict=True):
            place = place_of.get(_last(str(path), depth))
            if place is None:
                raise ConfigError(f"{table} lists {path!r}, which is not in {folder}. Fetch it, or take its line out.")
            if splits[place]:
                raise ConfigError(
                    f"{table} lists {files[place]} twice, in {splits[place]} and in {split}. Take one of the two out."
                )
            splits[place], labels[place] = split, _class(table, files[place], label)
    if "" in splits:
        raise ConfigError(
            f"{folder / files[splits.index('')]} is in no split of {table}, as are {splits.count('') - 1} others. Add "
            "them there, or take them out of the folder."
        )
    return splits, labels


def _entry(table: Path, split: str, entry: Any) -> tuple[list[Any], list[Any]]:
    paths = entry.get("path") if isinstance(entry, dict) else entry
    classes = entry.get("label") if isinstance(entry, dict) else None
    classes = [None] * len(paths) if classes is None and isinstance(paths, list) else classes
    if not isinstance(paths, list) or not isinstance(classes, list) or len(paths) != len(classes):
        raise ConfigError(
            f"{table}: its entry {split!r} is no list of paths, or has another number of labels than of paths. Write "
            '[paths], or {"path": [...], "label": [...]}.'
        )
    return paths, classes


def _class(table: Path, file: str, label: Any) -> int | None:
    if label is None or str(label).isdecimal():
        return None if label is None else int(label)
    raise ConfigError(f"{table}: the label {label!r} of {file} is no class. Write 0 to {CLASSES - 1}.")


def _last(path: str, depth: int) -> str:
    return "/".join(path.replace("\\", "/").split("/")[-depth:])
