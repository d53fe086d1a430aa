"""What only history needs: batches of tanh and ReLU networks, and the released code's defects for comparison."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..._errors import ConfigError, SpecError
from ...gauge import normal_form, reciprocal_or_zero
from ...spec import SymmetrySpec
from .._checks import check_sizes, check_stack
from .._edges import dense
from .._invariant import UnitNorm
from ._chain import chain
from ._cone import Needed
from ._models import PublishedBackbone, PublishedFunctional, PublishedOperator
from ._presets import Preset
from ._readout import FullGraph, LastLayer


@final
class MixedFunctional(nn.Module):
    """A vector per network for batches in which some networks have signs and others positive scales.

    Called with stacked parameters and ``positive``, one bool per network (``[b]``), returns ``[b, out]``. Every block
    has a map per group; all else is shared. Networks do not interact, so each kind passes on its own and nothing is
    masked.

    Source: arXiv:2406.10685, the "hetero" rows. Our own models have a scale group per neuron space instead.
    """

    def __init__(self, preset: Preset, spec: SymmetrySpec) -> None:
        super().__init__()
        if any(space.scale not in ("sign", "positive") for space in spec.free):
            raise SpecError(f"a mixed batch has networks with signs and with positive scales; {spec} has others.")
        check_sizes(spec, width=preset.width, rounds=preset.rounds, out=preset.out)
        self.preset = preset
        self.spec = replace(spec, spaces=tuple(s if s.fixed else replace(s, scale="positive") for s in spec.spaces))
        self.in_normal_form = True
        shape = chain(self.spec)
        self.readout = (LastLayer if preset.readout == "last_layer" else FullGraph)(preset, shape)
        last = Needed(self.readout.reads(len(shape.sizes)), {})
        self.backbone = PublishedBackbone(preset, self.spec, last, operator=False)

    def forward(self, params: Mapping[str, Tensor], positive: Tensor) -> Float[Tensor, "b o"]:
        num = check_stack(params, self.spec, self.backbone.embed.vertex.weight)
        if not isinstance(positive, Tensor):
            raise ConfigError(
                f"positive={positive!r} is no tensor. Give one bool each, e.g. torch.tensor([True, False])."
            )
        if positive.shape != (num,) or positive.dtype != torch.bool:
            have = f"positive is {positive.dtype} of shape {tuple(positive.shape)}"
            raise ConfigError(f"{have} for {num} networks. Give one bool each, e.g. positive.bool().")
        parts, places = [], []
        for group, rows in (("sign", ~positive), ("positive", positive)):
            index = rows.nonzero().flatten()
            if len(index):
                some = {name: value[index] for name, value in params.items()}
                if group == "positive" and self.in_normal_form:
                    some, _ = normal_form(some, self.spec)
                parts.append(self.readout(self.backbone(some, group), group))
                places.append(index)
        return torch.cat(parts)[torch.cat(places).argsort()]


@final
class ReleasedNorm(nn.Module):
    """``x / (|x| + 1e-10)``: the released canonicalization, inexact for short vectors."""

    epsilon = 1e-10

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + self.epsilon)

    def affine(self, x: object, weight: Float[Tensor, "o c"], shift: Tensor) -> Tensor:
        """``F.linear(self(x), weight) + shift``."""
        return nn.functional.linear(self(dense(x)), weight) + shift  # pyright: ignore[reportArgumentType]


def as_released(
    model: PublishedFunctional | PublishedOperator | MixedFunctional,
    backward: Literal["as_released", "reciprocal"] = "as_released",
) -> nn.Module:
    """The model as the released code computes it: positive scales read as they are, so bidirectional models break
    their law.

    Args:
        model: Changed in place and returned.
        backward: What backward messages read: the weights themselves, or their reciprocals (lawful, and unstable:
            weights near zero give features without bound).
    """
    model.in_normal_form = False
    for part in model.modules():
        for name, child in part.named_children():
            if isinstance(child, UnitNorm):
                setattr(part, name, ReleasedNorm())
    if backward == "reciprocal":
        model.backbone.backward_kernels = reciprocal
    return model


def reciprocal(kernel: Float[Tensor, "b m n k"]) -> Float[Tensor, "b m n k"]:
    """``w / |w|^2`` over the numbers of an edge, 0 for a zero edge: scales as the reciprocal of a weight."""
    inverse = reciprocal_or_zero(torch.linalg.vector_norm(kernel, dim=-1, keepdim=True))
    return kernel * inverse * inverse
