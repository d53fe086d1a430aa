"""The canonical networks of files: one from each orbit, written as the files were."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch

from .._errors import ConfigError, SpecMismatch
from .._types import Params
from ..files import atomic, elements
from ..files.checkpoint import open_network
from ..files.folder import find_networks
from ..files.formats import WRITTEN
from ..files.shards import is_index
from ..files.writer import targets, write_like
from ..gauge import act, canonicalize
from ..spec import SymmetrySpec
from .material import Progress
from .outputs import as_written

TABLE = "canonicalize.csv"
_EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2)
"""Types without arithmetic: computed in float32, written as they were."""
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
    source: Path,
    out: Path,
    spec: SymmetrySpec,
    *,
    scale: str = "norm",
    element_out: Path | None = None,
    difference: Difference | None = None,
    progress: Progress | None = None,
) -> list[Canonicalized]:
    """Write the canonical form of the network, or of all networks of a folder; one row for each.

    Names, number types, metadata and file names stay. All files are read and checked before the first is written;
    a folder also gets the rows as ``canonicalize.csv``.

    Args:
        source: A network file, or a folder of them.
        out: File for one network, folder for a folder.
        spec: Their symmetry.
        scale: The form of positive scales, see :func:`weightspace.gauge.canonicalize`.
        element_out: Where the elements go: a ``.safetensors`` file for one network, a folder for a folder.
        difference: Of the outputs of two networks: certifies that the function stays.
        progress: Called with networks done, networks in all, and a message.

    Raises:
        ConfigError: if a file cannot be read or written, or a result would replace an input.
        SpecMismatch: if a network is of another architecture, or holds values that are not finite or do not fit its
            number type in canonical form.
    """
    files = find_networks([source])
    places = targets(files, [source], out)
    saved = _element_places(files, places, element_out)
    for done, file in enumerate(files):
        open_network(file, spec).load()
        if progress is not None:
            progress(done + 1, len(files), "checking")
    rows = []
    for done, (file, place) in enumerate(zip(files, places, strict=True)):
        network = open_network(file, spec)
        read = {name: value.float() if value.dtype in _EIGHT_BITS else value for name, value in network.load().items()}
        try:
            params, element, report = canonicalize(read, spec, scale=scale)
        except SpecMismatch as error:
            raise SpecMismatch(f"{file}: {error}") from error
        gap = None
        if difference is not None:
            wide = {n: v.double() if v.is_floating_point() else v for n, v in read.items()}
            exact = difference(wide, act(element, wide, spec))
            if not exact <= _EXACT:
                raise SpecMismatch(
                    f"{file}: the canonical form changes the outputs by {exact:.2g} of their size, so the spec does "
                    "not fit the module, or the scales of this network are too extreme. Nothing was written for it."
                )
            gap = difference(wide, as_written(params, network.dtypes))
        if saved:
            elements.save_element(saved[done], element, spec, {"maps": f"{file.name} to its canonical form, {scale}"})
        write_like(network, place, lambda name, params=params: [params[name]])
        rows.append(Canonicalized(str(file), str(place), "; ".join(str(report).splitlines()), gap))
        if progress is not None:
            progress(done + 1, len(files), "canonicalizing")
    if source.is_dir() and not is_index(files[0]):
        atomic.write_text(out / TABLE, _csv(rows))
    return rows


def _element_places(files: list[Path], places: list[Path], element_out: Path | None) -> list[Path]:
    if element_out is None:
        return []
    if len(files) == 1 and not element_out.is_dir():
        elements.check_name(element_out)
        found = [element_out]
    else:
        if element_out.is_file() or element_out.suffix in WRITTEN:
            raise ConfigError(f"there are {len(files)} elements, so --element {element_out} must be a folder.")
        names = [file.name if file.suffix == ".safetensors" else f"{file.name}.safetensors" for file in files]
        found = [element_out / name for name in names]
    taken = {path.resolve() for path in (*files, *places)}
    for path in found:
        if path.resolve() in taken:
            raise ConfigError(f"the element would replace the network {path}. Choose another --element.")
    return found


def _csv(rows: list[Canonicalized]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "out", "left_open", "difference"))
    for row in rows:
        writer.writerow((row.file, row.out, row.left_open, "" if row.difference is None else f"{row.difference:.3g}"))
    return text.getvalue()
