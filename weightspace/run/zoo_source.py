"""The zoo of a run: found, made if the caller may, and known again by a fingerprint of its index."""

from collections.abc import Iterator
from pathlib import Path

from .._errors import ConfigError, ZooError
from .._types import Progress
from ..files import atomic
from ..zoo import MANIFEST, Zoo, check_same, index_fingerprint, make_zoo, unfinished
from . import record
from .config import Run


def open_zoo(
    config: Run, folder: Path, *, make: bool, data_dir: str | Path | None = None, progress: Progress | None = None
) -> Zoo:
    """The zoo that a run reads.

    A relative ``zoo.path`` is meant from the working directory. For a run that exists already, folders above the run
    are tried next, so that it can be evaluated from anywhere.

    Args:
        config: The run.
        folder: Its folder.
        make: Make the zoo if there is none, or finish one of the same configuration whose making was interrupted, if
            the run says how. A damaged zoo is never repaired.
        data_dir: Folder of the data that a zoo is made from.
        progress: Called with units of work done, all of them, and a message.

    Raises:
        ConfigError: if there is no zoo and none may be made, or the zoo is not the one the run was trained on.
        ZooError: if the zoo is damaged.
    """
    fingerprint = _recorded(folder)
    where = _place(config, folder, fingerprint, widely=not make or fingerprint is not None)
    if not make and not (where / MANIFEST).is_file():
        raise ConfigError(
            f"the zoo of the run {folder} is missing: {where} is no zoo, and neither is a folder of that name above "
            f"the run. Make it again: {_making_line(config, folder)}"
        )
    zoo = _open_or_make(config, where, data_dir, progress) if make else Zoo.open(where)
    if fingerprint is not None and index_fingerprint(where) != fingerprint:
        raise ConfigError(
            f"the zoo {where} is not the one that the run {folder} was trained on: its index differs. Put the old "
            "zoo back there, or train on this one in another folder: weightspace train RECIPE --out DIR"
        )
    return zoo


def remember(config: Run, folder: Path, zoo: Zoo) -> None:
    """Write down which zoo the run reads.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    value = {"path": config.zoo.path or "zoo", "networks": len(zoo), "index_sha256": index_fingerprint(zoo.path)}
    atomic.write_json(folder / record.ZOO, value)


def _open_or_make(config: Run, where: Path, data_dir: str | Path | None, progress: Progress | None) -> Zoo:
    recipe = config.zoo.make
    try:
        zoo = Zoo.open(where)
    except ZooError:
        num = unfinished(recipe, where) if recipe is not None else None
        if recipe is None or num is None:
            raise
        return make_zoo(recipe, where, data_dir=data_dir, num=num, progress=progress)
    if config.zoo.path is None and recipe is not None:
        # A zoo inside the run's folder is the run's own: it has to be what the run says.
        check_same(recipe, where)
        if zoo.config.num < recipe.num:
            return make_zoo(recipe, where, data_dir=data_dir, progress=progress)
    return zoo


def _place(config: Run, folder: Path, fingerprint: str | None, *, widely: bool) -> Path:
    """The first folder that holds the run's zoo; the one the run names, if none does."""
    places = list(_places(config, folder, widely))
    found = [place for place in places if (place / MANIFEST).is_file()]
    same = [place for place in found if fingerprint is not None and index_fingerprint(place) == fingerprint]
    return [*same, *found, *places][0]


def _places(config: Run, folder: Path, widely: bool) -> Iterator[Path]:
    if config.zoo.path is None:
        yield folder / "zoo"
        return
    path = Path(config.zoo.path)
    yield path
    if widely and not path.is_absolute():
        home = folder.resolve()
        yield from (above / path for above in (home, *home.parents))


def _recorded(folder: Path) -> str | None:
    """Fingerprint of the zoo the run was trained on; runs from before it was kept have none."""
    path = folder / record.ZOO
    return atomic.read_json(path).get("index_sha256") if path.is_file() else None


def _making_line(config: Run, folder: Path) -> str:
    if config.zoo.make is None:
        return f"weightspace zoo make RECIPE --out {config.zoo.path}"
    return f"weightspace train {config.name} --config {folder / record.CONFIG} --out {folder}"
