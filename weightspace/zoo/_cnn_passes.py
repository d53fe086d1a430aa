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
        self._mean = inside.view(1, 1, -1)

        def buffers(rows: int, columns: int) -> tuple[Tensor, Tensor]:
            return torch.empty(batch * rows, columns, dtype=dtype), torch.empty(batch * rows, columns, dtype=dtype)

        self._h1, self._g1 = buffers(self._first**2, 4 * width)
        self._h2, self._g2 = buffers(self._first**2, width)
        self._c2, self._d2 = buffers(self._second**2, 4 * width)
        self._h3, self._g3 = buffers(self._second**2, width)

    @property
    def units(self) -> tuple[int, int]:
        """Units of the second and third layer for each image, as dropout counts them: with those over the border."""
        return self._width * self._first**2, self._width * self._second**2

    def logits(
        self, params: Params, columns: Float[Tensor, "p k"], factors: Sequence[Tensor] | None = None
    ) -> Float[Tensor, "p o"]:
        """Outputs of one network on images.

        Args:
            params: Its parameters.
            columns: What its first layer reads.
            factors: Dropout of the second and the third layer, ``[p, units]`` each, or None.
        """
        size = len(columns)
        h1, h2, c2, h3 = self._parts((self._h1, self._h2, self._c2, self._h3), size)
        stem = torch.cat([params["convs.0.weight"].flatten(1), params["convs.0.bias"].unsqueeze(1)], 1)
        torch.mm(columns.view(-1, 10), stem.T, out=h1.view(-1, self._width))
        self._activate(h1)
        # Kept for the gradient.
        self._blocks = blocks(params["convs.1.weight"]), blocks(params["convs.2.weight"])
        convolve(h1, self._blocks[0], params["convs.1.bias"], self._first, h2)
        self._activate(h2)
        self._drop(to_cells(h2, self._first, self._second), factors, self._as_cells(c2))
        convolve(c2, self._blocks[1], params["convs.2.bias"], self._second, h3)
        self._activate(h3)
        units = h3.view(size, -1, self._width)
        if factors is not None:
            units = units * factors[1].reshape(units.shape)
        self._pooled = torch.matmul(self._mean, units).squeeze(1)
        return torch.addmm(params["head.bias"], self._pooled, params["head.weight"].T)

    def gradient(
        self,
        params: Params,
        columns: Float[Tensor, "p k"],
        labels: Int[Tensor, " p"],
        out: Params,
        factors: Sequence[Tensor] | None = None,
    ) -> None:
        """Write the gradient of one network's mean cross-entropy into ``out``; arguments as those of :meth:`logits`."""
        size = len(columns)
        d = self.logits(params, columns, factors).softmax(1)
        d.scatter_add_(1, labels.unsqueeze(1), d.new_full((size, 1), -1.0)).mul_(1 / size)
        h1, h2, c2, h3 = self._parts((self._h1, self._h2, self._c2, self._h3), size)
        g1, g2, d2, g3 = self._parts((self._g1, self._g2, self._d2, self._g3), size)
        torch.mm(d.T, self._pooled, out=out["head.weight"])
        torch.sum(d, 0, out=out["head.bias"])
        torch.mul(torch.mm(d, params["head.weight"]).unsqueeze(1), self._mean.mT, out=g3.view(size, -1, self._width))
        if factors is not None:
            g3.mul_(factors[1].reshape(g3.shape))
        self._derive(g3, h3)
        out["convs.2.weight"].copy_(kernel_gradient(c2, g3, self._second))
        torch.sum(g3, 0, out=out["convs.2.bias"])
        cells_gradient(g3, self._blocks[1], self._second, d2)
        if self._first > 2 * self._second:
            g2.zero_()  # of outputs that no cell holds
        self._drop(self._as_cells(d2), factors, to_cells(g2, self._first, self._second))
        self._derive(g2, h2)
        out["convs.1.weight"].copy_(kernel_gradient(h1, g2, self._first))
        torch.sum(g2, 0, out=out["convs.1.bias"])
        cells_gradient(g2, self._blocks[0], self._first, g1)
        self._derive(g1, h1)
        stem = torch.mm(g1.view(-1, self._width).T, columns.view(-1, 10))
        out["convs.0.weight"].copy_(stem[:, :9].view_as(out["convs.0.weight"]))
        out["convs.0.bias"].copy_(stem[:, 9])

    def _parts(self, buffers: Sequence[Tensor], size: int) -> list[Tensor]:
        sides = (self._first, self._first, self._second, self._second)
        return [buffer[: size * side**2] for buffer, side in zip(buffers, sides, strict=True)]

    def _as_cells(self, cells: Tensor) -> Tensor:
        """The matrix of cells, its axes as those of :func:`to_cells`."""
        return cells.view(-1, self._second, self._second, 2, 2, self._width).transpose(2, 3)

    def _drop(self, units: Tensor, factors: Sequence[Tensor] | None, out: Tensor) -> None:
        """Copy the second layer's units, or their gradient, from or to cells, some of them dropped."""
        if factors is None:
            out.copy_(units)
        else:
            own = to_cells(factors[0].reshape(-1, self._width), self._first, self._second)
            torch.mul(units, own, out=out)

    def _activate(self, h: Tensor) -> None:
        if self._tanh:
            h.tanh_()
        else:
            h.relu_()

    def _derive(self, g: Tensor, h: Tensor) -> None:
        if self._tanh:
            torch.ops.aten.tanh_backward.grad_input(g, h, grad_input=g)
        else:
            torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g)
