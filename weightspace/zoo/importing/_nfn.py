"""INRs of CIFAR-10 as the NFN release keeps them: a folder a class, further ones for augmented copies.

Their outputs are colours in [-1, 1] without an offset, at coordinates (row, column). Weights stay as they are: the
configuration says how to draw them. Source: Zhou et al. 2023, arXiv:2302.14040.
"""

import re
from functools import partial
from pathlib import Path

from ..._errors import ConfigError
from ..._types import Params
from .._imported_config import ImportedConfig
from ._collection import Collection, Columns, digest, networks_per_shard, stacked, walk
from ._sirens import SirenFiles

FOLDERS = re.compile(r"randinit_smaller(?:_aug(\d{1,9}))?_(\d{1,9})s")
_FILES = re.compile(r"net(\d{1,9})\.pth")
_CLASSES = 10
_TRAIN, _VAL, _ALL = 45_000, 50_000, 60_000
_BASE = -1


def open_nfn(folder: Path, name: str) -> Collection:
    """The INRs in a folder; ``augmentation`` numbers the copies of an image and is -1 for the image itself.

    Images below 45,000 are train, from 50,000 on test, those between val. Copies are there to train on: those of other
    images are not read.

    Raises:
        ConfigError: if nothing is there, a file has another name, or an image has two labels.
        SpecMismatch: if the first network is no SIREN.
    """
    found: list[tuple[int, int, int, str]] = []
    label_of: dict[int, tuple[int, str]] = {}
    for file in walk(folder):
        place = FOLDERS.fullmatch(file.rpartition("/")[0])
        if place is None or not file.endswith(".pth"):
            continue
        number = _FILES.fullmatch(file.rpartition("/")[2])
        image, label = int(number[1]) if number else -1, int(place[2])
        if not 0 <= image < _ALL or label >= _CLASSES:
            raise ConfigError(
                f"{folder / file} is mislabelled: files are randinit_smaller_LABELs/netIMAGE.pth with labels 0 to "
                f"{_CLASSES - 1} and images 0 to {_ALL - 1}. Rename it, or take it out of the folder."
            )
        before = label_of.setdefault(image, (label, file))
        if before[0] != label:
            raise ConfigError(
                f"{folder / file} is mislabelled: {before[1]} is of the same image and has another label. Take one of "
                "the two out of the folder."
            )
        copy = _BASE if place[1] is None else int(place[1])
        if copy == _BASE or image < _TRAIN:
            found.append((image, copy, label, file))
    if not found:
        raise ConfigError(
            f"{folder} holds no randinit_smaller_LABELs/netIMAGE.pth. Name the folder that the archive was unpacked to."
        )
    found.sort()
    files = [file for *_, file in found]
    reader = SirenFiles(folder, files[0], offset=0.0)
    config = ImportedConfig(
        format=name,
        source=folder.resolve().name,
        digest=digest(folder, files),
        target=reader.target,
        images="cifar10",
        num=len(files),
        shard=networks_per_shard(reader.target.shapes().values()),
        intensities=(-1.0, 1.0),
        rows_first=True,
    )
    columns: Columns = {
        "split": [_split(image) for image, *_ in found],
        "file": files,
        "label": [label for _, _, label, _ in found],
        "image_id": [image for image, *_ in found],
        "augmentation": [copy for _, copy, *_ in found],
    }
    return Collection(folder, config, columns, partial(_read, reader, files))


def _split(image: int) -> str:
    return "train" if image < _TRAIN else "val" if image < _VAL else "test"


def _read(reader: SirenFiles, files: list[str], places: range) -> tuple[Params, Columns]:
    return stacked([reader.read(files[place])[0] for place in places]), {}
