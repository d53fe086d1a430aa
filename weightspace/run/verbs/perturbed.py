"""Orbit copies of a network as files: the same function in other numbers, each with the element that made it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

import torch
from torch import nn

from ..._errors import ConfigError, SpecMismatch
from ..._types import Params
from ...files import atomic
from ...files.checkpoint import open_network
from ...files.elements import save_element
from ...files.formats import WRITTEN
from ...files.naming import ties_of
from ...files.writer import Progress, write_like, written_as
from ...gauge import Element, act
from ...spec import Example, SymmetrySpec
from ...tasks.merging.perturb import SCALE_STD, add_noise, orbit_elements, stream
from ...zoo import Zoo
from ..environment import environment
from .outputs import as_written, output_difference
from .working import in_type, widest

ELEMENTS = "elements"
ABOUT = "perturb.json"
_EXACT = 1e-6
"""Relative change of outputs, in float64, above which the spec is taken for wrong."""


@final
@dataclass(frozen=True, eq=False)
class Source:
    """A network to copy.

    Attributes:
        name: In metadata and messages.
        params: In one floating-point type.
        spec: Its symmetry.
        module: The architecture and its inputs, to prove that copies compute the same; or ``None``.
        dtypes: The number types that it is kept in.
        write: Writes a copy at a place without suffix, as the network itself is kept.
        path: The file or folder that it was read from.
    """

    name: str
    params: Params
    spec: SymmetrySpec
    module: tuple[nn.Module, Example] | None
    dtypes: Mapping[str, torch.dtype]
    write: Callable[[Params, Path], None]
    path: Path


def of_file(path: Path, spec: SymmetrySpec, module: nn.Module | None, example: Example | None) -> Source:
    """A network file, or a folder of shards: names, number types and metadata stay.

    Raises:
        ConfigError: if it cannot be read.
        SpecMismatch: if it is of another architecture, or not finite.
    """
    network = open_network(path, spec, ties_of(module))
    suffix = "" if network.index is not None else written_as(network.path).suffix

    def write(params: Params, place: Path) -> None:
        write_like(network, place.with_name(place.name + suffix), lambda name: params[name])

    ready = None if module is None or example is None else (module, example)
    return Source(path.name, in_type(network.load(), widest((network,))), spec, ready, network.dtypes, write, path)


def of_zoo(path: Path, row: int) -> Source:
    """A network of a zoo, which knows its own architecture.

    Raises:
        ConfigError: if there is no such row.
        ZooError: if the zoo is missing or damaged.
    """
    zoo = Zoo.open(path)
    if row >= len(zoo):
        raise ConfigError(f"{path} has no row {row}: its rows are 0 to {len(zoo) - 1}. Give one of them with --row.")
    params = {name: value[0] for name, value in zoo.load([row]).items()}
    target = zoo.config.target

    def write(copy: Params, place: Path) -> None:
        atomic.save_tensors(place.with_name(f"{place.name}.safetensors"), copy, {"architecture": str(zoo.spec)})

    dtypes = {name: value.dtype for name, value in params.items()}
    return Source(f"{path.name}, row {row}", params, zoo.spec, (target.build(), target.example()), dtypes, write, path)


def perturb_files(
    source: Source,
    out: Path,
    kind: str = "all",
    *,
    num: int = 1,
    sigma: float = 0.0,
    seed: int = 0,
    scale_std: float = SCALE_STD,
    max_scale: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> float | None:
    """A folder of copies, ``copy-0000`` and on, and of their elements; all of it is written, or nothing.

    Each copy has noise of its own, drawn by the seed and its number. For the other arguments see
    :func:`weightspace.tasks.perturb`.

    Args:
        source: The network.
        out: A new or empty folder.
        kind: What moves.
        num: Copies.
        sigma: Standard deviation of the noise.
        seed: Of elements and noise.
        scale_std: Of the logarithm of positive scales.
        max_scale: Log-uniform scales instead.
        overwrite: Replace a folder of copies.
        progress: Called with copies done, copies in all, and a message.

    Returns:
        The largest output difference of a copy as it is written, before its noise, relative; ``None`` without a module.

    Raises:
        ConfigError: if the folder is not empty or cannot be written, or a number is out of range.
        SpecMismatch: if the outputs of a copy differ by more than rounding: the spec is wrong for the module.
    """
    overwrite = overwrite and (out / ABOUT).is_file()
    strange = [path.name for path in out.iterdir() if not (overwrite and _ours(path))] if out.is_dir() else []
    if out.is_file() or strange or out.suffix in WRITTEN:
        what = f"holds {strange[0]}, no copy of an earlier command" if out.is_dir() else "is the name of a file"
        raise ConfigError(f"--out {out} {what}. Name a new folder, e.g. --out {out.stem}-copies")
    if source.path.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"a folder of copies would replace its source {source.path}. Choose another --out.")
    spec, worst = source.spec, None
    elements = orbit_elements(spec, kind, num=num, seed=seed, scale_std=scale_std, max_scale=max_scale)
    noisy = partial(add_noise, spec=spec, sigma=sigma)
    atomic.remove_leftovers(out.parent, out.name)
    with atomic.written_at_once(out) as folder:
        (folder / ELEMENTS).mkdir(parents=True)
        for place in range(num):
            element, name = elements[place], f"copy-{place:04d}"
            worst = _proven(source, element, worst)
            # The number of the copy is part of the seed: copies differ in their noise too.
            source.write(noisy(act(element, source.params, spec), seed=stream(seed, place)), folder / name)
            about = {"maps": f"{source.name} to {name}", "sigma": f"{sigma:g}"}
            save_element(folder / ELEMENTS / f"{name}.safetensors", element, spec, about)
            if progress is not None:
                progress(place + 1, num, "copies")
        settings = {"network": source.name, "kind": kind, "num": num, "sigma": sigma, "seed": seed}
        scales = {"scale_std": scale_std} if max_scale is None else {"max_scale": max_scale}
        atomic.write_json(folder / ABOUT, settings | scales | {"environment": environment()})
        if out.is_dir():
            atomic.remove(out)
    return worst


def _ours(path: Path) -> bool:
    return path.name in (ELEMENTS, ABOUT) or path.name.startswith("copy-")


def _proven(source: Source, element: Element, worst: float | None) -> float | None:
    """The largest output difference so far, this element included."""
    if source.module is None:
        return None
    module, example = source.module
    wide = {name: value.double() if value.is_floating_point() else value for name, value in source.params.items()}
    moved = act(element, wide, source.spec)
    found = output_difference(module, wide, moved, example)
    if not found <= _EXACT:
        raise SpecMismatch(
            f"{source.name}: a copy's outputs differ by {found:.2g} of their size, so the spec does not hold for "
            f"{type(module).__name__}. Derive it: ws.derive(module, example). Nothing was written."
        )
    written = as_written(act(element, source.params, source.spec), source.dtypes)
    return max(output_difference(module, wide, written, example), worst or 0.0)
