"""3x3 convolutions of stride 2 as plain matrix products, nothing unfolded.

Pixels stand in *cells* of 2x2, the channels of the four side by side: a batch is a matrix ``[images * side**2, 4 c]``.
The kernel, padded with zeros to 4x4, covers 2x2 cells and moves by one, so the output is a sum of four products: the
rows as they are, and the rows after a shift of 1, ``side`` and ``side + 1``. What the zeros would meet stands last in
a cell and is left out: the shifted products read three quarters, a half and a quarter of it.

Outputs take the place of their upper left cell. Those of the last row and column of cells reach over the border: they
are finite numbers that nobody may use, and their gradient has to be 0.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_AT_ONCE = 1000  # images whose columns are gathered at a time


def places(side: int) -> list[int]:
    """Places along a side of the three layers' outputs, for images with that many pixels."""
    out = []
    for _ in range(3):
        side = (side - 3) // 2 + 1
        out.append(side)
    return out


def columns(x: Float[Tensor, "p i"], side: int) -> Float[Tensor, "p k"]:
    """What the first convolution reads of gray images, once for all networks.

    For each cell of its output and each pixel of the cell the nine values under the kernel and a one, for the bias;
    zeros for pixels beyond the border.
    """
    first, second, _ = places(side)
    edge = 2 * (second + 1)
    out = x.new_zeros(len(x), second + 1, second + 1, 2, 2, 10)
    for some, into in zip(x.split(_AT_ONCE), out.split(_AT_ONCE), strict=True):
        patches = F.unfold(some.view(-1, 1, side, side), 3, stride=2).view(-1, 9, first, first)[:, :, :edge, :edge]
        patches = F.pad(patches, (0, 0, 0, 0, 0, 1), value=1.0)
        missing = edge - patches.shape[-1]
        patches = F.pad(patches, (0, missing, 0, missing))
        into.copy_(patches.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 2, 4, 3, 5, 1))
    return out.flatten(1)


def to_cells(places: Float[Tensor, "rows c"], side: int, cells: int) -> Float[Tensor, "p g 2 g 2 c"]:
    """A view of outputs (``side`` along a side) that goes through ``cells`` cells a side, and their pixels.

    Its axes 2 and 3 change places in the matrix of cells.
    """
    grid = places.view(-1, side, side, places.shape[1])[:, : 2 * cells, : 2 * cells]
    return grid.unflatten(2, (cells, 2)).unflatten(1, (cells, 2))


def blocks(kernel: Float[Tensor, "o c 3 3"]) -> Float[Tensor, "4 o k"]:
    """The kernel as the four matrices that the products take."""
    out, channels = kernel.shape[:2]
    padded = F.pad(kernel, (0, 1, 0, 1)).view(out, channels, 2, 2, 2, 2)
    return padded.permute(2, 4, 0, 3, 5, 1).reshape(4, out, 4 * channels)


def kernel_of(blocks: Float[Tensor, "4 o k"]) -> Float[Tensor, "o c 3 3"]:
    """The inverse of :func:`blocks`."""
    out, width = blocks.shape[1:]
    apart = blocks.view(2, 2, out, 2, 2, width // 4)
    return apart.permute(2, 5, 0, 3, 1, 4).reshape(out, width // 4, 4, 4)[:, :, :3, :3]


def convolve(cells: Tensor, blocks: Tensor, bias: Tensor, side: int, out: Tensor) -> None:
    """Write the convolution of the cells into ``out`` ``[rows, o]``."""
    torch.addmm(bias, cells, blocks[0].T, out=out)
    for tap, shift, width in _shifted(side, cells.shape[1]):
        out[:-shift].addmm_(cells[shift:, :width], blocks[tap, :, :width].T)


def cells_gradient(grad: Tensor, blocks: Tensor, side: int, out: Tensor) -> None:
    """Write the gradient of the cells into ``out``, given that of the outputs."""
    torch.mm(grad, blocks[0], out=out)
    for tap, shift, width in _shifted(side, out.shape[1]):
        out[shift:, :width].addmm_(grad[:-shift], blocks[tap, :, :width])


def kernel_gradient(cells: Tensor, grad: Tensor, side: int) -> Float[Tensor, "o c 3 3"]:
    """The gradient of the kernel, given that of the outputs."""
    out = grad.new_zeros(4, grad.shape[1], cells.shape[1])
    torch.mm(grad.T, cells, out=out[0])
    for tap, shift, width in _shifted(side, cells.shape[1]):
        out[tap, :, :width] = torch.mm(grad[:-shift].T, cells[shift:, :width])
    return kernel_of(out)


def _shifted(side: int, width: int) -> tuple[tuple[int, int, int], ...]:
    return (1, 1, 3 * width // 4), (2, side, width // 2), (3, side + 1, width // 4)
