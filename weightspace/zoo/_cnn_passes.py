"""Forward and backward pass of one small CNN after another: matrix products in buffers that are used again."""

from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from .._types import Params
from ._cells import blocks, cells_gradient, convolve, kernel_gradient, places, to_cells
from .targets import CNNTarget


@final
class CNNPasses:
    """Passes of networks of one target over images given by their :func:`columns`; not for several threads at once.

    Fresh memory costs as much as the products, so all large intermediate results lie in buffers of this object.

    Args:
        target: Architecture, with tanh or ReLU.
        batch: Images at most.
        dtype: Of weights and images.
    """

    def __init__(self, target: CNNTarget, batch: int, dtype: torch.dtype = torch.float32) -> None:
        width = target.channels
        _, second, third = places(target.side)
        self._tanh, self._width = target.activation == "tanh", width
        self._first, self._second = second + 1, third + 1  # cells along a side that the 2nd and 3rd layer read
        self._area = third**2
        # Mean over the places of the last layer, the ones over the border left out.
        inside = F.pad(torch.full((third, third), 1 / self._area, dtype=dtype), (0, 1, 0, 1))
        self._mean = inside.view(1, -1, 1)

        def buffers(rows: int, columns: int) -> tuple[Tensor, Tensor]:
            return torch.empty(batch * rows, columns, dtype=dtype), torch.empty(batch * rows, columns, dtype=dtype)

        self._h1, self._g1 = buffers(self._first**2, 4 * width)
        self._h2, self._g2 = buffers(self._first**2, width)
        self._c2, self._d2 = buffers(self._second**2, 4 * width)
        self._h3, self._g3 = buffers(self._second**2, width)

    @property
    def units(self) -> tuple[int, int, int]:
        """Units of the three layers for each image, as dropout counts them: those over the border included."""
        return 4 * self._width * self._first**2, self._width * self._first**2, self._width * self._second**2

    def logits(
        self,
        params: Params,
        columns: Float[Tensor, "p k"],
        kept: Sequence[Tensor] | None = None,
        factor: float = 1.0,
    ) -> Float[Tensor, "p o"]:
        """Outputs of one network on images.

        Args:
            params: Its parameters.
            columns: What its first layer reads.
            kept: 1 for units that are kept, 0 for others, ``[p, units]`` for each layer; default: all are kept.
            factor: Of units that are kept.
        """
        size = len(columns)
        h1, h2, c2, h3 = (
            self._part(buffer, size, side)
            for buffer, side in zip((self._h1, self._h2, self._c2, self._h3), self._sides(), strict=True)
        )
        torch.mm(columns.view(-1, 10), self._stem(params).T, out=h1.view(-1, self._width))
        self._activate(h1, kept, 0)
        # The factor of units that are kept goes into the next layer: units stay values of the activation, and their
        # derivative can be read from them.
        convolve(h1, blocks(params["convs.1.weight"]) * factor, params["convs.1.bias"], self._first, h2)
        self._activate(h2, kept, 1)
        self._as_cells(c2).copy_(to_cells(h2, self._first, self._second))
        convolve(c2, blocks(params["convs.2.weight"]) * factor, params["convs.2.bias"], self._second, h3)
        self._activate(h3, kept, 2)
        return torch.addmm(params["head.bias"], self._pooled(h3, size, factor), params["head.weight"].T)

    def gradient(
        self,
        params: Params,
        columns: Float[Tensor, "p k"],
        labels: Int[Tensor, " p"],
        out: Params,
        kept: Sequence[Tensor] | None = None,
        factor: float = 1.0,
    ) -> None:
        """Write the gradient of one network's mean cross-entropy into ``out``; arguments as those of :meth:`logits`."""
        size = len(columns)
        d = self.logits(params, columns, kept, factor).softmax(1)
        d.scatter_add_(1, labels.unsqueeze(1), d.new_full((size, 1), -1.0)).mul_(1 / size)
        h1, h2, c2, h3 = (
            self._part(buffer, size, side)
            for buffer, side in zip((self._h1, self._h2, self._c2, self._h3), self._sides(), strict=True)
        )
        g1, g2, d2, g3 = (
            self._part(buffer, size, side)
            for buffer, side in zip((self._g1, self._g2, self._d2, self._g3), self._sides(), strict=True)
        )
        torch.mm(d.T, self._pooled(h3, size, factor), out=out["head.weight"])
        torch.sum(d, 0, out=out["head.bias"])
        spread = torch.mm(d, params["head.weight"]).mul_(factor).unsqueeze(1)
        torch.mul(spread, self._mean, out=g3.view(size, -1, self._width))
        self._derive(g3, h3, kept, 2)
        out["convs.2.weight"].copy_(kernel_gradient(c2, g3, self._second).mul_(factor))
        torch.sum(g3, 0, out=out["convs.2.bias"])
        cells_gradient(g3, blocks(params["convs.2.weight"]) * factor, self._second, d2)
        if self._first > 2 * self._second:
            g2.zero_()  # of outputs that no cell holds
        to_cells(g2, self._first, self._second).copy_(self._as_cells(d2))
        self._derive(g2, h2, kept, 1)
        out["convs.1.weight"].copy_(kernel_gradient(h1, g2, self._first).mul_(factor))
        torch.sum(g2, 0, out=out["convs.1.bias"])
        cells_gradient(g2, blocks(params["convs.1.weight"]) * factor, self._first, g1)
        self._derive(g1, h1, kept, 0)
        stem = torch.mm(g1.view(-1, self._width).T, columns.view(-1, 10))
        out["convs.0.weight"].copy_(stem[:, :9].view_as(out["convs.0.weight"]))
        out["convs.0.bias"].copy_(stem[:, 9])

    def _sides(self) -> tuple[int, int, int, int]:
        return self._first, self._first, self._second, self._second

    def _part(self, buffer: Tensor, size: int, side: int) -> Tensor:
        return buffer[: size * side**2]

    def _stem(self, params: Params) -> Tensor:
        return torch.cat([params["convs.0.weight"].flatten(1), params["convs.0.bias"].unsqueeze(1)], 1)

    def _as_cells(self, cells: Tensor) -> Tensor:
        """The matrix of cells, its axes as those of :func:`to_cells`."""
        return cells.view(-1, self._second, self._second, 2, 2, self._width).transpose(2, 3)

    def _pooled(self, h3: Tensor, size: int, factor: float) -> Tensor:
        return (h3.view(size, -1, self._width) * self._mean).sum(1).mul_(factor)

    def _activate(self, h: Tensor, kept: Sequence[Tensor] | None, layer: int) -> None:
        if self._tanh:
            h.tanh_()
        else:
            h.relu_()
        if kept is not None:
            h.mul_(kept[layer].view_as(h))

    def _derive(self, g: Tensor, h: Tensor, kept: Sequence[Tensor] | None, layer: int) -> None:
        if kept is not None:
            g.mul_(kept[layer].view_as(g))
        if self._tanh:
            torch.ops.aten.tanh_backward.grad_input(g, h, grad_input=g)
        else:
            torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g)
