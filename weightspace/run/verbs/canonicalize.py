"""The canonical networks of files: one from each orbit, written as the files were."""

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ..._errors import ConfigError, SpecMismatch
from ..._types import Params, Progress
from ...files import atomic, elements
from ...files.checkpoint import open_network, wide
from ...files.folder import LeftOut, each, find_networks
from ...files.formats import WRITTEN
from ...files.naming import Ties
from ...files.shards import is_index
from ...files.writer import targets, write_like
from ...gauge import Element, act, canonicalize
from ...spec import SymmetrySpec
from .outputs import as_written

TABLE = "canonicalize.csv"
_EXACT = 1e-6
"""Relative change of outputs above which an element is taken for wrong."""

Difference = Callable[[Params, Params], float]
"""Of the outputs of two networks, see :func:`weightspace.run.outputs.output_difference`."""


@final
@dataclass(frozen=True)
class Canonicalized:
    """One network: file read and written, what was left open ("unique": nothing), and the change of the outputs.

    ``difference`` is the largest one relative to the outputs' size, as written, rounding included.
    """

    file: str
    out: str
    left_open: str
    difference: float | None


def canonicalize_files(
    source: Path | Sequence[Path],
    out: Path,
    spec: SymmetrySpec,
    *,
    recursive: bool = False,
    left_out: list[LeftOut] | None = None,
    ties: Ties = (),
    scale: str = "norm",
    element_out: Path | None = None,
    difference: Difference | None = None,
    progress: Progress | None = None,
) -> list[Canonicalized]:
    """Write the canonical form of the network, or of all networks of a folder; one row for each.

    Names, number types, metadata and file names stay. All files are read and checked before the first is written;
    a folder also gets the rows as ``canonicalize.csv``.

    Args:
        source: A network file, a folder of them, or several of either.
        out: File for one network, folder for a folder.
        spec: Their symmetry.
        recursive: Whether to look into folders inside folders.
        left_out: Gets the networks that cannot be used; without it, the first of them is an error.
        ties: Groups of names that are one tensor, of which a file may lack all but one.
        scale: The form of positive scales, see :func:`weightspace.gauge.canonicalize`.
        element_out: Where the elements go: a ``.safetensors`` file for one network, a folder for a folder.
        difference: Of the outputs of two networks: certifies that the function stays.
        progress: Called with networks done, networks in all, and a message.

    Raises:
        ConfigError: if a file cannot be read or written, or a result would replace an input.
        SpecMismatch: if a network is of another architecture, or holds values that are not finite or do not fit its
            number type in canonical form.
    """
    named = [source] if isinstance(source, Path) else list(source)
    files = find_networks(named, recursive=recursive)
    place_of = dict(zip(files, targets(files, named, out), strict=True))
    element_of = _element_places(place_of, element_out)
    sound = []
    for file, _ in each(files, lambda file: open_network(file, spec, ties).load(), left_out):
        sound.append(file)
        if progress is not None:
            progress(len(sound), len(files), "checking")

    def canonical(file: Path) -> Canonicalized:
        network = open_network(file, spec, ties)
        read = wide(network.load())
        try:
            params, element, report = canonicalize(read, spec, scale=scale)
        except SpecMismatch as error:
            raise SpecMismatch(f"{file}: {error}") from error
        written = as_written(params, network.dtypes)
        gap = None if difference is None else _proven(file, read, written, element, spec, difference)
        if file in element_of:
            about = {"maps": f"{file.name} to its canonical form, {scale}"}
            elements.save_element(element_of[file], element, spec, about)
        write_like(network, place_of[file], lambda name: [params[name]])
        return Canonicalized(str(file), str(place_of[file]), "; ".join(str(report).splitlines()), gap)

    rows: list[Canonicalized] = []
    for _, row in each(sound, canonical, left_out):
        rows.append(row)
        if progress is not None:
            progress(len(rows), len(sound), "canonicalizing")
    if len(files) > 1 or (named[0].is_dir() and not is_index(files[0])):
        atomic.write_text(out / TABLE, _csv(rows, left_out or []))
    return rows


def _proven(
    file: Path, read: Params, written: Params, element: Element, spec: SymmetrySpec, difference: Difference
) -> float:
    """The change of the outputs as written, once it is sure that the element leaves them."""
    wide = {name: value.double() if value.is_floating_point() else value for name, value in read.items()}
    exact = difference(wide, act(element, wide, spec))
    if not exact <= _EXACT:
        raise SpecMismatch(
            f"{file}: the canonical form changes the outputs by {exact:.2g} of their size, so the spec does not fit "
            "the module, or the scales of this network are too extreme. Nothing was written for it."
        )
    return difference(wide, written)


def _element_places(place_of: Mapping[Path, Path], element_out: Path | None) -> dict[Path, Path]:
    """By network, where its element goes."""
    if element_out is None:
        return {}
    files, places = list(place_of), list(place_of.values())
    if len(files) == 1 and not element_out.is_dir():
        elements.check_name(element_out)
        found = [element_out]
    else:
        if element_out.is_file() or element_out.suffix in WRITTEN:
            raise ConfigError(f"there are {len(files)} elements, so --element {element_out} must be a folder.")
        root = Path(os.path.commonpath([place.parent for place in places]))
        names = [place.relative_to(root) for place in places]
        found = [element_out / n if n.suffix == ".safetensors" else element_out / f"{n}.safetensors" for n in names]
    taken = {path.resolve() for path in (*files, *places)}
    for path in found:
        if path.resolve() in taken:
            raise ConfigError(f"the element would replace the network {path}. Choose another --element.")
    return dict(zip(files, found, strict=True))


def _csv(rows: list[Canonicalized], left_out: Sequence[LeftOut]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "out", "left_open", "difference", "left_out"))
    for row in rows:
        writer.writerow(
            (row.file, row.out, row.left_open, "" if row.difference is None else f"{row.difference:.3g}", "")
        )
    writer.writerows((str(other.file), "", "", "", other.reason) for other in left_out)
    return text.getvalue()
