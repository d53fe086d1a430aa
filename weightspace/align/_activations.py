"""Matching by what neurons do on data: the element under which the features of two networks correlate most."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .._errors import SpecMismatch
from ..gauge import Element
from ..gauge.canonical import arrange
from ..spec import SymmetrySpec
from ._assign import assign
from ._features import features, scale_between


def match_activations(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: SymmetrySpec,
    module: nn.Module,
    inputs: Sequence[Tensor],
) -> Element:
    """The element that brings the features of ``b`` nearest to those of ``a`` on data.

    For every order of neurons the outputs of the layers that make them are correlated over inputs and places, those of
    all batch normalizations where there are some, otherwise those of linear and convolutional layers; neurons are
    assigned to the largest sum of correlations (of magnitudes where signs are free, with the sign of the correlation).
    Positive scales are the ratio of standard deviations. Orders are matched one by one, so nothing is iterated;
    features that no layer makes alone (joined with others, inside blocks) stay where they are.

    Args:
        a: Parameters of the network to match to.
        b: Parameters of the network to move.
        spec: The symmetry of both.
        module: Their architecture; run in eval mode, left as it was.
        inputs: Batches.

    Raises:
        SpecMismatch: if the parameters do not fit the spec.
        SpecError: if no space of the spec can be read off a layer.

    Source: Li et al. 2015, arXiv:1511.07543; Ainsworth et al. 2022, arXiv:2209.04836, section 3.1. Signs and scales are
    ours.
    """
    for which, params in (("first", a), ("second", b)):
        if spec.check(params) is not None:
            raise SpecMismatch(f"the {which} argument stacks several networks. Match them one by one.")
    keys = {space.name: torch.arange(space.size).double().unsqueeze(0) for space in spec.free}
    scale = {space.name: torch.ones(space.size, dtype=torch.float64) for space in spec.free}
    for root, family in features([a, b], spec, module, inputs).items():
        agreement = sum(
            found.between(0, 1).abs() if found.signed else found.between(0, 1) for found in family if found.guides
        )
        assert isinstance(agreement, Tensor), "a family has a guide"
        order = assign(-agreement)
        keys[root] = order.argsort().double().unsqueeze(0)
        for found in family:
            if found.space.scale == "trivial":
                continue
            chosen = found.between(0, 1).gather(-1, order.unsqueeze(-1))[..., 0]
            scale[found.space.name] = scale_between(found.deviation[0], found.deviation[1][order], chosen, found)
    return Element({name: perm[0] for name, perm in arrange(spec, keys, 1).items()}, scale)
