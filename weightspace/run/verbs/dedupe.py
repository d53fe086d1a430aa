"""Files that hold one network in different numbers, found in a folder of any size.

Every file is read once for its vector of invariants, which is kept in a cache; files with vectors that agree are read
again and compared. The cache belongs to (path, size, time of change) of each file and to the text of the spec, so an
interrupted command continues, and files added later cost only themselves.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..._errors import ConfigError
from ..._types import Params, Progress
from ...files import atomic
from ...files.folder import LeftOut, each, files_of
from ...gauge import KIND, LIMIT, fingerprints, groups, same_pairs
from ...spec import SymmetrySpec, to_text
from ...zoo import workers

Read = Callable[[Path], Params]
T = TypeVar("T")
_SECONDS_BETWEEN_WRITES = 5.0
_NETWORKS, _NUMBERS = 128, 2**22
"""Most networks, and numbers of all of them, that are worked on at a time by one thread."""

_ROUNDINGS = 6
"""How far rounding may move an entry of the vector, in epsilons of the number type (to first order): the logarithm of
a sum of w^4 moves by 4 half epsilons, and by as many for each of two scales. Random networks show up to 2.4."""


@final
@dataclass(frozen=True)
class Member:
    """A file, the first file of its group, and how far the two networks differ in roundings (at most 1.5)."""

    file: Path
    first: Path
    roundings: float


def dedupe(
    files: Sequence[Path],
    read: Read,
    spec: SymmetrySpec,
    cache: Path,
    progress: Progress,
    left_out: list[LeftOut] | None = None,
) -> list[Member]:
    """The files in their order, each with the first file that holds the same network.

    Vectors of invariants only propose: each file is compared with the first of its group (:func:`gauge.same_pairs`).

    Args:
        files: Network files of one architecture.
        read: Gives the finite parameters of a file under the names of the spec, and fails with the file's name.
        spec: Their symmetry.
        cache: Where vectors are kept; written whole or not at all.
        progress: Called with the files or pairs done, all of them, and what is being done.
        left_out: Gets the files that cannot be used; without it, the first of them is an error.

    Raises:
        ConfigError: if a file cannot be read or the cache cannot be written.
        SpecMismatch: if a file holds another architecture or entries that are not finite.
    """
    kept = _Vectors(files, read, spec, cache, left_out)
    files, vectors, tolerance = kept.all(progress)
    if not files:
        return []

    def compare(pairs: Sequence[tuple[int, int]]) -> list[float]:
        def some(part: Sequence[tuple[int, int]]) -> list[float]:
            place = {row: at for at, row in enumerate(dict.fromkeys(row for pair in part for row in pair))}
            networks = [read(files[row]) for row in place]
            return same_pairs(networks, [(place[one], place[two]) for one, two in part], spec).tolist()

        found: list[float] = []
        with workers() as pool:
            for part in pool.map(some, _chunks(pairs, spec)):
                found += part
                progress(len(found), len(pairs), "comparing")
        return found

    first, distance = groups(vectors, tolerance, compare, LIMIT)
    return [Member(file, files[row], gap) for file, row, gap in zip(files, first, distance, strict=True)]


@final
class _Vectors:
    """The vectors of invariants of files and their tolerances, kept in the cache."""

    def __init__(
        self, files: Sequence[Path], read: Read, spec: SymmetrySpec, cache: Path, left_out: list[LeftOut] | None
    ) -> None:
        self._read, self._spec, self._cache, self._left_out = read, spec, cache, left_out
        self._files = {key: file for file, key in each(files, _key, left_out)}
        self._about = hashlib.sha256(f"{KIND}\n{to_text(spec)}".encode()).hexdigest()
        self._known: dict[str, Tensor] = self._load()

    def all(self, progress: Progress) -> tuple[list[Path], Float[Tensor, "n _k"], Float[Tensor, " n"]]:
        """The files that can be used, their vectors, and the tolerances of these."""
        missing = [key for key in self._files if key not in self._known]
        done, written = len(self._files) - len(missing), time.monotonic()
        try:
            with workers() as pool:
                for part in pool.map(self._some, _chunks(missing, self._spec)):
                    self._known |= part
                    done += len(part)
                    progress(done, len(self._files), "reading")
                    if time.monotonic() - written > _SECONDS_BETWEEN_WRITES:
                        self._save()
                        written = time.monotonic()
        finally:
            if missing:
                self._save()
        used = {key: file for key, file in self._files.items() if key in self._known}
        rows = torch.stack([self._known[key] for key in used]) if used else torch.zeros(0, 1)
        return [*used.values()], rows[:, 1:], rows[:, 0]

    def _some(self, keys: Sequence[str]) -> dict[str, Tensor]:
        """By key: the tolerance, then the vector."""
        key_of = {self._files[key]: key for key in keys}
        found = dict(each(key_of, self._read, self._left_out))
        if not found:
            return {}
        networks = [*found.values()]
        stacked = {name: torch.stack([net[name].double() for net in networks]) for name in self._spec.axes}
        tolerance = torch.tensor([_ROUNDINGS * _epsilon(net) for net in networks], dtype=torch.float64)
        rows = torch.cat([tolerance[:, None], fingerprints(stacked, self._spec)], 1)
        return {key_of[file]: row for file, row in zip(found, rows, strict=True)}

    def _load(self) -> dict[str, Tensor]:
        # What cannot be read is worked out again: a cache holds nothing of its own.
        with suppress(ConfigError, KeyError, ValueError):
            tensors, about = atomic.load_tensors(self._cache)
            if about.get("about") == self._about:
                return dict(zip(json.loads(about["files"]), tensors["vectors"], strict=True))
        return {}

    def _save(self) -> None:
        if self._known:
            about = {"about": self._about, "files": json.dumps(list(self._known))}
            atomic.save_tensors(self._cache, {"vectors": torch.stack([*self._known.values()])}, about)


def _key(file: Path) -> str:
    """Names the content of a network: where it lies, the sizes of its files and when they were changed."""
    try:
        states = [part.stat() for part in files_of(file)]
    except OSError as error:
        raise ConfigError(
            f"cannot read {file}: {error.strerror}. Mend or remove it; the same command continues."
        ) from error
    return "|".join([str(file.resolve()), *(f"{state.st_size}|{state.st_mtime_ns}" for state in states)])


def _epsilon(params: Params) -> float:
    """The coarsest relative rounding among the parameters."""
    return max((torch.finfo(v.dtype).eps for v in params.values() if v.is_floating_point()), default=1e-16)


def _chunks(items: Sequence[T], spec: SymmetrySpec) -> list[Sequence[T]]:
    numbers = sum(torch.Size(spec.shape(name)).numel() for name in spec.axes)
    size = max(1, min(_NETWORKS, _NUMBERS // max(numbers, 1)))
    return [items[start : start + size] for start in range(0, len(items), size)]
