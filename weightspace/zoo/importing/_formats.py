"""The formats of collections: how each is known, what may be said of it, and how it is opened."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

from ..._errors import ConfigError
from ._checkpoints import open_checkpoints
from ._collection import Collection
from ._dws import FILES as DWS_FILES
from ._dws import open_dws
from ._nfn import FOLDERS as NFN_FOLDERS
from ._nfn import open_nfn
from ._small_cnn_files import FILES as SMALL_CNN_FILES
from ._small_cnns import open_small_cnns


@final
@dataclass(frozen=True)
class Format:
    """A layout of a collection.

    Attributes:
        what: In words.
        fits: Whether a folder looks like it.
        open: The collection in a folder, with the options that it takes.
        needs: Options it cannot do without.
        takes: Further options.
    """

    what: str
    fits: Callable[[Path], bool]
    open: Callable[..., Collection]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


_MNIST = re.compile(r"mnist_png_(training|testing)_\d+_\d+\w*")


def _fits_mnist(folder: Path) -> bool:
    return any(_MNIST.fullmatch(path.name) for path in folder.iterdir())


def _fits_fashion(folder: Path) -> bool:
    parts = [folder / part for part in ("train", "val", "test") if (folder / part).is_dir()]
    return any(DWS_FILES.fullmatch(path.name) for part in parts for path in part.iterdir())


def _fits_nfn(folder: Path) -> bool:
    return any(NFN_FOLDERS.fullmatch(path.name) for path in folder.iterdir())


def _fits_small_cnns(folder: Path) -> bool:
    return sum((folder / name).is_file() for name in SMALL_CNN_FILES) > 1


def _anything(folder: Path) -> bool:
    return folder.is_dir()


FORMATS: dict[str, Format] = {
    "dws_mnist": Format(
        "INRs of MNIST as DWSNets keeps them",
        _fits_mnist,
        partial(open_dws, images="mnist", name="dws_mnist"),
        takes=("split_file",),
    ),
    "dws_fmnist": Format(
        "INRs of Fashion-MNIST as DWSNets keeps them",
        _fits_fashion,
        partial(open_dws, images="fashion_mnist", name="dws_fmnist"),
        takes=("split_file",),
    ),
    "nfn_cifar": Format("INRs of CIFAR-10 of the NFN release", _fits_nfn, partial(open_nfn, name="nfn_cifar")),
    "small_cnn_zoo": Format(
        "CNNs of the Small CNN Zoo",
        _fits_small_cnns,
        partial(open_small_cnns, name="small_cnn_zoo"),
        takes=("split_file", "step", "activation"),
    ),
    "checkpoints": Format(
        "files of networks with a table of labels",
        _anything,
        partial(open_checkpoints, name="checkpoints"),
        needs=("model", "labels"),
        takes=("input",),
    ),
}
"""By name, those that are known by their files first."""


def format_of(folder: Path, name: str | None = None) -> tuple[str, Path]:
    """The format of the collection in a folder, and the folder it lies in: an archive may have put one inside.

    Args:
        folder: It.
        name: The format, if it is known.

    Raises:
        ConfigError: if there is no such folder or format.
    """
    if name is not None and name not in FORMATS:
        raise ConfigError(f"there is no format {name!r}. Choose one of: {', '.join(FORMATS)}.")
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ConfigError(f"{folder} {what}. Name the folder that holds the networks.")
    inside = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "." and path.name != "__MACOSX"]
    places = [folder, *(inside if len(inside) == 1 else [])]
    for known in [name] if name else FORMATS:
        for place in places:
            if known != "checkpoints" and FORMATS[known].fits(place):
                return known, place
    return name or "checkpoints", folder


def open_collection(folder: Path, name: str, options: Mapping[str, Any]) -> Collection:
    """The collection in a folder, which nothing is written to.

    Args:
        folder: As :func:`format_of` gave it.
        name: The format.
        options: Those that the format takes; for ``checkpoints`` a ``target`` and ``labels``.

    Raises:
        ConfigError: if something is missing, damaged or contradicts something else.
        SpecMismatch: if the networks are of another architecture.
    """
    return FORMATS[name].open(folder, **options)
