"""Where a network's own activations are read: which tensors of which modules hold states of which field.

A linear or convolutional layer reads states of the space on its fan-in axis and writes those of the other. That the
tensors really move as the labels say (a mixer of tokens has its neurons on another axis) is tried on the network once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...gauge import Element
from ...spec import SymmetrySpec
from ...view import Field, Piece, pieces

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@final
@dataclass(frozen=True, eq=False)
class Capture:
    """A piece of a module's input or output.

    Attributes:
        module: Its name.
        output: Whether it is the output.
        axis: Of the tensor, from the end.
        piece: Which entries along the axis.
        field: What moves them.
    """

    module: str
    output: bool
    axis: int
    piece: Piece
    field: Field

    def take(self, value: Float[Tensor, "b p *_shape"]) -> Float[Tensor, "b n p _l"]:
        """The neurons' entries, all positions (of a map, of a sequence) and entries per neuron side by side."""
        piece = self.piece
        value = value.movedim(self.axis, -1).flatten(2, -2) if value.dim() > 3 else value.unsqueeze(2)
        if piece.index is not None:
            value = value[..., torch.tensor(piece.index, device=value.device)]
        elif piece.over is None:
            value = value.narrow(-1, piece.start, piece.length)
        if piece.turned:
            value = value.unflatten(-1, (piece.each, -1)).transpose(-1, -2)
        else:
            value = value.unflatten(-1, (-1, piece.each))
        return value.permute(0, 3, 1, 2, 4).flatten(3)


def captures(spec: SymmetrySpec, module: nn.Module) -> Iterator[Capture]:
    """What can be captured of a module whose parameters a spec labels."""
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear):
            dims, axis = (1, 0), -1
        elif isinstance(part, _CONVOLUTIONS):
            dims, axis = (1, 0), 1 - part.weight.dim()
        elif isinstance(part, _TRANSPOSED):
            dims, axis = (0, 1), 1 - part.weight.dim()
        else:
            continue
        weight = f"{name}.weight" if name else "weight"
        if weight not in spec.axes:
            continue
        for dim, output in zip(dims, (False, True), strict=True):
            for piece in pieces(spec, weight, dim):
                if piece.field is not None and not piece.odd and -1 not in (piece.index or ()):
                    yield Capture(name, output, axis, piece, piece.field)


def moved(element: Element, field: Field, value: Float[Tensor, "n p l"]) -> Float[Tensor, "n p l"]:
    """States of a field, moved by one element."""
    if field.root in element.perm:
        value = value[element.perm[field.root]]
    for name in field.signs:
        sign = element.scale[name].sign().to(value)
        sign = sign.repeat_interleave(len(value) // len(sign))
        value = value * sign.reshape(-1, *[1] * (value.dim() - 1))
    return value
