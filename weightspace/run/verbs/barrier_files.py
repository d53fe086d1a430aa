"""Loss and accuracy on the way from one network file to another, by several alignments, as tables and a figure."""

from pathlib import Path

from torch import nn

from ..._errors import SpecMismatch
from ...files.checkpoint import open_network
from ...files.naming import ties_of
from ...files.writer import Progress
from ...gauge import act
from ...spec import Example, SymmetrySpec, without_scales
from ...tasks import BarrierMethod, Barriers, barriers, methods
from ...zoo import Images
from .alignment import load_single
from .barriers import write_barriers
from .working import bench, in_type, widest


def barrier_files(
    first: Path,
    second: Path,
    spec: SymmetrySpec,
    module: nn.Module,
    example: Example,
    images: Images,
    out: Path,
    *,
    element: Path | None = None,
    points: int = 21,
    restarts: int = 0,
    permutations_only: bool = False,
    progress: Progress | None = None,
) -> tuple[Barriers, list[Path]]:
    """Barriers on the test half of the images by :func:`weightspace.tasks.methods` and a saved alignment.

    Args:
        first: File of the network at 0.
        second: File of the network at 1, which is moved.
        spec: The symmetry of both.
        module: The architecture, a classifier.
        example: Its inputs; only shapes and types matter.
        images: Its images; features and statistics are those on training images.
        out: Folder of the tables and the figure.
        element: A saved alignment of the second network to compare with.
        points: Places on the segment, an odd number.
        restarts: Random starts of each alignment besides the usual ones.
        permutations_only: Match over order alone; signs and scales stay.
        progress: Called with curves done, curves in all, and a message.

    Returns:
        What was measured, and the files written, see :func:`weightspace.run.barriers.write_barriers`.

    Raises:
        ConfigError: if a file cannot be read or written, or the images do not fit the module.
        SpecMismatch: if a network or the element does not fit, or moving it changes its outputs.
    """
    a, b = (open_network(path, spec, ties_of(module)) for path in (first, second))
    wide = widest((a, b))
    ready = bench(module, example, wide)
    measure = ready.measure(images.test_x, images.test_y)
    words = {"module": ready.module, "example": ready.example, "batches": ready.batches(images)}
    ways = [*methods(without_scales(spec) if permutations_only else spec, restarts=restarts, **words)]
    if element is not None:
        ways.append(_given(element, spec))
    pair = (in_type(a.load(), wide), in_type(b.load(), wide))

    def show(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, "curves")

    found = barriers([pair], measure, ways, points=points, progress=show)
    return found, write_barriers(out, found)


def _given(path: Path, spec: SymmetrySpec) -> BarrierMethod:
    element, its = load_single(path)
    if its != spec:
        raise SpecMismatch(f"{path} belongs to the architecture {its}, the networks to {spec}. Align them again.")
    return BarrierMethod(path.name, lambda a, b: act(element, b, spec))  # noqa: ARG005
