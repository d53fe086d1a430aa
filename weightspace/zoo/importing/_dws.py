"""INRs of MNIST and Fashion-MNIST as DWSNets keeps them: a file each, labels and splits in paths or in a JSON file.

Source: Navon et al. 2023, arXiv:2301.12780.
"""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

from ..._errors import ConfigError
from ..._types import Params
from .._imported_config import ImportedConfig
from ._collection import SPLITS, Collection, Columns, digest, drawn, networks_per_shard, stacked, walk
from ._dws_table import CLASSES, read_table
from ._sirens import SirenFiles

FILES = re.compile(r"model_[^/]*\.pth")
_IMAGE = re.compile(r"(?:^|[/_])(training|testing)_(\d{1,9})_(\d{1,9})(?:_augmented_(\d{1,9}))?(?=/)")
_LAST = "model_final.pth"
_JSON = ("splits.json", "mnist_splits.json")
_VAL, _WHOLE = 5000, 50_000
_NONE = -1


@final
@dataclass(frozen=True)
class _Named:
    """What the path of a network says of it."""

    testing: bool
    label: int
    image: int
    copy: int


def open_dws(folder: Path, images: str, name: str, *, split_file: Path | None = None) -> Collection:
    """The INRs in a folder.

    Labels are those of paths (``..._training_LABEL_IMAGE/...``), of the JSON file or of an entry ``label`` in each
    file; where several say one they have to agree. Splits are those of the JSON file; else ``testing`` is test, and
    5,000 training images (a tenth of fewer than 50,000), drawn by a fixed seed, are val with all their copies.

    Args:
        folder: It.
        images: Name of the image set.
        name: Name of the format.
        split_file: The JSON file, ``{split: [paths]}`` or ``{split: {"path": [...], "label": [...]}}``; of paths the
            last parts count. By default ``splits.json`` or ``mnist_splits.json`` in the folder, if there.

    Raises:
        ConfigError: if nothing is there, or labels or splits are missing or contradict each other.
        SpecMismatch: if the first network is no SIREN.
    """
    files = [file for file in walk(folder) if _is_network(file)]
    if not files:
        raise ConfigError(f"{folder} holds no file model_*.pth. Name the folder that the archive was unpacked to.")
    named = [_named(file) for file in files]
    table = split_file or next((folder / name for name in _JSON if (folder / name).is_file()), None)
    labels: list[int | None] = [None] * len(files)
    if table is not None:
        splits, labels = read_table(folder, table, files)
    elif None in named:
        raise ConfigError(
            f"{folder / files[named.index(None)]} names no split and label, and {folder} has no {_JSON[0]}. Put the "
            "file there, or name it with --split-file FILE."
        )
    else:
        splits = _by_path([found for found in named if found is not None])
    # By path and table; files may add labels, or contradict.
    for place, found in enumerate(named):
        labels[place] = _agreed(folder / files[place], labels[place], None if found is None else found.label)
    _one_label_an_image(folder, files, named)
    reader = SirenFiles(folder, files[0], offset=0.5)
    config = ImportedConfig(
        format=name,
        source=folder.resolve().name,
        digest=digest(folder, files, [] if table is None else [table]),
        target=reader.target,
        images=images,
        num=len(files),
        shard=networks_per_shard(reader.target.shapes().values()),
    )
    columns: Columns = {"split": splits, "file": files}
    if any(named):
        columns["image_id"] = [_NONE if found is None else found.image for found in named]
        columns["augmentation"] = [_NONE if found is None else found.copy for found in named]
    return Collection(folder, config, columns, partial(_read, reader, folder, files, labels))


def _read(
    reader: SirenFiles, folder: Path, files: list[str], labels: list[int | None], places: range
) -> tuple[Params, Columns]:
    networks, found = [], []
    for place in places:
        params, inside = reader.read(files[place])
        label = _agreed(folder / files[place], labels[place], inside)
        if label is None:
            raise ConfigError(
                f"{folder / files[place]} has no label: neither its path, nor the table of splits, nor an entry "
                "'label' in it says one. Add \"label\": [...] to the table of splits."
            )
        networks.append(params)
        found.append(label)
    return stacked(networks), {"label": found}


def _is_network(file: str) -> bool:
    """A file of a network as it was at the end of its training: folders of digits may hold earlier ones as well."""
    name = file.rpartition("/")[2]
    return name == _LAST if _IMAGE.search(file) else FILES.fullmatch(name) is not None


def _named(file: str) -> _Named | None:
    match = _IMAGE.search(file)
    if match is None:
        return None
    copy = _NONE if match[4] is None else int(match[4])
    return _Named(match[1] == "testing", int(match[2]), int(match[3]), copy)


def _agreed(path: Path, first: int | None, second: int | None) -> int | None:
    for label in (first, second):
        if label is not None and not 0 <= label < CLASSES:
            raise ConfigError(f"{path} has the label {label}; labels are 0 to {CLASSES - 1}. Take it out, or mend it.")
    if first is not None and second is not None and first != second:
        raise ConfigError(
            f"{path} is mislabelled: it is said to be of the class {first}, and of {second}. Mend what is wrong (its "
            "path, the table of splits, or the entry 'label' in it), or take it out of the folder."
        )
    return second if first is None else first


def _one_label_an_image(folder: Path, files: list[str], named: list[_Named | None]) -> None:
    seen: dict[tuple[bool, int], int] = {}
    for place, found in enumerate(named):
        if found is None:
            continue
        before = seen.setdefault((found.testing, found.image), place)
        other = named[before]
        if other is not None and other.label != found.label:
            raise ConfigError(
                f"{folder / files[place]} is mislabelled: {files[before]} is of the same image and has another label. "
                "Rename one of the two, or take it out of the folder."
            )


def _by_path(named: list[_Named]) -> list[str]:
    images = list(dict.fromkeys((found.label, found.image) for found in named if not found.testing))
    num = _VAL if len(images) >= _WHOLE else len(images) // 10
    split = dict(zip(images, drawn(len(images), {"val": num}, "train"), strict=True))
    return ["test" if found.testing else SPLITS[split[found.label, found.image]] for found in named]
