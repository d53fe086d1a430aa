"""Two network files aligned, and one network file moved by saved elements."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from ..._errors import ConfigError, SpecMismatch
from ..._types import Params
from ...alignment import Alignment, align
from ...files.atomic import remove
from ...files.checkpoint import PIECE, Checkpoint, open_network
from ...files.elements import check_name, load_element, save_element
from ...files.naming import ties_of
from ...files.writer import Progress, target, write_like
from ...gauge import Element, act_rows, compose, inverse
from ...gauge.canonical import norm_of
from ...spec import Example, SymmetrySpec, num_parameters, without_scales
from .outputs import as_written, output_difference
from .working import bench, in_type, widest


@final
@dataclass(frozen=True, eq=False)
class Aligned:
    """What :func:`align_files` found and wrote.

    Attributes:
        found: The alignment.
        before: Distance of the two networks as stored, relative to the norm of the first.
        after: The same for the network written.
        written: Largest difference between the outputs of the second network and those of the file written, relative
            to their size, rounding to the file's number types included; ``None`` without a module.
    """

    found: Alignment
    before: float
    after: float
    written: float | None


def align_files(
    first: Path,
    second: Path,
    spec: SymmetrySpec,
    out: Path,
    *,
    element: Path | None = None,
    module: nn.Module | None = None,
    example: Example | None = None,
    restarts: int = 0,
    seed: int = 0,
    permutations_only: bool = False,
    progress: Progress | None = None,
) -> Aligned:
    """The second network written anew where it is nearest to the first: names, number types, metadata stay.

    Args:
        first: File to align to; see :func:`weightspace.files.checkpoint.open_checkpoint`.
        second: File of the network to move.
        spec: The symmetry of both.
        out: File, or folder for shards like those of the second network.
        element: File for the element that moves the second network.
        module: The architecture, to measure that the function stays.
        example: Its inputs; only shapes and types matter.
        restarts: Random starts besides the usual ones.
        seed: Of the random starts.
        permutations_only: Match over order alone; signs and scales stay.
        progress: Called with starts done, starts in all, and a message.

    Raises:
        ConfigError: if a file cannot be read or written.
        SpecMismatch: if a network does not fit the spec or is not finite, or its outputs change; nothing is written.
    """
    a, b = (open_network(path, spec, ties_of(module)) for path in (first, second))
    target(out, b, [first, second])
    if element is not None:
        check_name(element)
    if element is not None and element.resolve() in (first.resolve(), second.resolve(), out.resolve()):
        raise ConfigError(f"--element {element} is the file of a network. Choose another name.")
    wide = widest((a, b))
    left, right = in_type(a.load(), wide), in_type(b.load(), wide)
    ready = None if module is None or example is None else bench(module, example, wide)

    def show(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, "starts")

    found = align(
        left,
        right,
        without_scales(spec) if permutations_only else spec,
        module=ready and ready.module,
        example=ready and ready.example,
        restarts=restarts,
        seed=seed,
        progress=show,
    )
    rounded = as_written(found.params, b.dtypes)
    written = None if ready is None else output_difference(ready.module, right, rounded, ready.example)
    write_like(b, out, lambda name: [found.params[name]])
    if element is not None:
        try:
            save_element(element, found.element, spec, {"maps": f"{second.name} to {first.name}"})
        except BaseException:
            remove(out)  # both or neither
            raise
    return Aligned(found, _distance(left, right, spec), _distance(left, rounded, spec), written)


def move_file(
    network: Path,
    elements: list[Path],
    out: Path,
    *,
    undo: bool = False,
    element: Path | None = None,
    progress: Progress | None = None,
) -> SymmetrySpec:
    """A network file moved by saved elements, first to last, piece by piece: the same function.

    Args:
        network: The file to move.
        elements: Files of elements of its architecture.
        out: File, or folder for shards like those of the network.
        undo: Move by the inverse of all of them together.
        element: File for the one element that does the same.
        progress: Called with tensors done, tensors in all, and a message.

    Returns:
        The spec that the elements were saved with.

    Raises:
        ConfigError: if a file cannot be read or written.
        SpecMismatch: if the network or an element is of another architecture, or a value is not finite.
    """
    moves, spec = load_composed(elements)
    moves = inverse(moves) if undo else moves
    source = open_network(network, spec)
    target(out, source, [network, *elements])
    if element is not None:
        check_name(element)
    write_like(source, out, lambda name: moved_pieces(source, name, moves, spec), progress=progress)
    if element is not None:
        said = " then ".join(path.name for path in elements)
        save_element(element, moves, spec, {"maps": f"undoes {said}" if undo else said})
    return spec


def load_composed(paths: Sequence[Path]) -> tuple[Element, SymmetrySpec]:
    """The element that acts as the first file, then as the second, and so on.

    Raises:
        ConfigError: if a file cannot be read.
        SpecMismatch: if two elements belong to different architectures.
    """
    found = [load_single(path) for path in paths]
    for path, (_, spec) in zip(paths, found, strict=True):
        if spec != found[0][1]:
            raise SpecMismatch(
                f"{path} belongs to the architecture {spec}, {paths[0]} to {found[0][1]}. "
                "Compose elements of one architecture."
            )
    return reduce(lambda first, then: compose(then, first), (element for element, _ in found)), found[0][1]


def load_single(path: Path) -> tuple[Element, SymmetrySpec]:
    """:func:`weightspace.files.elements.load_element` for a file of one element, not of a batch.

    Raises:
        ConfigError: if the file cannot be read or holds several.
    """
    element, spec = load_element(path)
    if any(perm.ndim > 1 for perm in element.perm.values()):
        raise ConfigError(f"{path} holds a batch of elements. Save the one that is meant in a file of its own.")
    return element, spec


def moved_pieces(source: Checkpoint, name: str, element: Element, spec: SymmetrySpec) -> Iterator[Tensor]:
    """One tensor of a checkpoint, moved by an element: consecutive pieces of whole rows, in at least 32 bits."""
    shape = source.shapes[name]
    if not shape:
        yield _wide(source.read(name))
        return
    rows, step = act_rows(element, spec, name), rows_at_once(shape)
    for start in range(0, shape[0], step):
        yield rows(range(start, min(start + step, shape[0])), lambda index: _wide(source.rows(name, index)))


def rows_at_once(shape: tuple[int, ...]) -> int:
    """How many rows of a tensor make a piece."""
    return max(PIECE // max(math.prod(shape[1:]), 1), 1)


def _wide(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() and value.dtype.itemsize < 4 else value


def matching_bytes(spec: SymmetrySpec, checkpoints: list[Checkpoint]) -> int:
    """About the memory that aligning two networks takes, in bytes: see `docs/align.md` for what was measured."""
    params = 8 * num_parameters(spec)
    costs = max((8 * space.size**2 for space in spec.free), default=0)
    return 12 * params + 6 * costs + sum(checkpoint.num_bytes for checkpoint in checkpoints)


def _distance(a: Params, b: Params, spec: SymmetrySpec) -> float:
    """Norm of the difference relative to the norm of the first; variances and counters left out."""
    counted = []
    for name, axes in spec.params:
        parts = [part for axis in axes for part in axis.parts]
        owned = a[name].is_floating_point() or any(part.space for part in parts)
        if owned and not any(abs(part.power) > 1 for part in parts):
            counted.append(name)
    far = norm_of(lambda name: a[name].to(torch.float64) - b[name].to(torch.float64), counted)
    size = norm_of(lambda name: a[name].to(torch.float64), counted)
    return far / size if size else far
