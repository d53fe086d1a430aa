"""The published blocks, chosen by a preset: maps of vectors that live at vertices.

Hidden vertices need scale-equivariant maps; at inputs and outputs nothing acts and an MLP may see the vector itself.
"""

from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...spec import ScaleName
from .._edges import Outer, affine, dense, linear
from .._equivariant import Mlp, ScaleInv
from .._invariant import Absolute, Invariant, Symmetrized, UnitNorm
from ._presets import Preset
from ._rows import Block, times, total

End = Literal["input", "output"]


def mlp(preset: Preset, width: int, out: int | None = None) -> Mlp:
    """An MLP with the preset's hidden width and normalization."""
    hidden = preset.width
    return Mlp(width, hidden, hidden if out is None else out, norm=preset.norm, dropout=preset.mlp_dropout)


def groups(preset: Preset) -> tuple[ScaleName, ...]:
    """The scale groups for which a model needs blocks: two if networks of both kinds are read."""
    if preset.group == "hetero":
        return ("sign", "positive")
    return () if preset.group == "permutation" else (preset.group,)


def scale_invariants(preset: Preset, width: int) -> dict[ScaleName, Invariant]:
    """The published invariant of each group on vectors of ``width`` channels."""
    result: dict[ScaleName, Invariant] = {}
    for group in groups(preset):
        if group == "positive":
            result[group] = UnitNorm()
        elif preset.sign == "absolute":
            result[group] = Absolute()
        else:
            result[group] = Symmetrized(width, preset.width, norm=preset.norm, dropout=preset.mlp_dropout)
    return result


def gates(preset: Preset, width: int, out: int | None = None, context: int = 0) -> nn.ModuleDict:
    """One invariant map per scale group."""
    found = scale_invariants(preset, width)
    return nn.ModuleDict({group: ScaleInv(i, mlp(preset, width + context, out)) for group, i in found.items()})


@final
class GatedEnds(nn.Module):
    """``(Lin x) * MLP(x)`` on inputs and outputs, with the linear map of the hidden vertices."""

    def __init__(self, preset: Preset, width: int, out: int, context: int) -> None:
        super().__init__()
        self.mlp = mlp(preset, width + context, out)

    def forward(self, x: Tensor, _: End, mapped: nn.Linear, context: Tensor | None) -> Tensor:
        return mapped(x) * self.mlp(x, context)

    def total(self, x: Tensor | Outer, block: Block, _: End, mapped: nn.Linear, context: Tensor | None) -> Tensor:
        """The sum over the senders of every receiver."""
        return total(dense(linear(x, mapped.weight)) * self.mlp(x, context), block)


@final
class FreeEnds(nn.Module):
    """An MLP on inputs and outputs: the same for both, or one each."""

    def __init__(self, preset: Preset, width: int, out: int, context: int) -> None:
        super().__init__()
        first = mlp(preset, width + context, out)
        second = mlp(preset, width + context, out) if preset.io == "separate" else first
        self.mlps = nn.ModuleDict({"input": first, "output": second})

    def forward(self, x: Tensor, end: End, _: nn.Linear, context: Tensor | None) -> Tensor:
        return self.mlps[end](x, context)

    def total(self, x: Tensor | Outer, block: Block, end: End, _: nn.Linear, context: Tensor | None) -> Tensor:
        """The sum over the senders of every receiver."""
        own: Mlp = self.mlps[end]  # pyright: ignore[reportAssignmentType]
        return total_hidden(own, own.hidden(affine(x, *own.reader(context))), block)


@final
class VertexMap(nn.Module):
    """``(Lin x) * ScaleInv(x)`` on hidden vertices, another map on inputs and outputs.

    Args:
        preset: Chooses the invariants and the map on inputs and outputs.
        width: Channels in.
        out: Channels out; the preset's width by default.
        context: Channels of invariant features that the gates read as well.
    """

    def __init__(self, preset: Preset, width: int, out: int | None = None, context: int = 0) -> None:
        super().__init__()
        out = preset.width if out is None else out
        self.linear = nn.Linear(width, out, bias=False)
        self.gates = gates(preset, width, out, context)
        self.ends = (GatedEnds if preset.io == "gated" else FreeEnds)(preset, width, out, context)

    def forward(
        self, x: Float[Tensor, "b n c"], end: End | None, group: ScaleName, context: Tensor | None = None
    ) -> Float[Tensor, "b n o"]:
        if end is not None:
            return self.ends(x, end, self.linear, context)
        return self.linear(x) * self.gates[group](x, context)

    def total(
        self,
        e: Tensor | Outer,
        senders: Float[Tensor, "b s c"],
        block: Block,
        end: End | None,
        group: ScaleName,
        context: Tensor | None = None,
    ) -> Float[Tensor, "b v o"]:
        """The sum over the senders of every receiver of the map of messages (edge x sender)."""
        x = times(e, senders, block)
        if end is not None:
            return self.ends.total(x, block, end, self.linear, context)
        product = dense(linear(x, self.linear.weight)) * self.gates[group](x, context)
        return total(product, block)


def total_hidden(mlp: Mlp, hidden: Float[Tensor, "b e h"], block: Block) -> Float[Tensor, "b v o"]:
    """The sum over the senders of every receiver of an MLP with these hidden units; its second product runs per
    receiver."""
    summed = total(hidden, block)
    counts = [float(s) for s, r in zip(block.senders, block.receivers, strict=True) for _ in range(r)]
    return F.linear(summed, mlp.second.weight) + summed.new_tensor(counts).unsqueeze(1) * mlp.second.bias


def positions(num: int, width: int) -> nn.Parameter:
    """A table of learned vectors, one per type."""
    return nn.Parameter(torch.randn(num, width))
