"""Matching by what neurons do on data: by their features, and by what the outputs make of them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .._errors import SpecMismatch
from ..gauge import Element
from ..gauge.index import arrange
from ..gauge.match import assign, balance
from ..spec import SymmetrySpec
from ._batches import Inputs
from ._features import balanced_sizes, features, gains, scale_between
from ._stacks import stacked


def match_activations(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: SymmetrySpec,
    module: nn.Module,
    inputs: Inputs,
) -> Element:
    """The element under which neurons of ``b`` do on data what those of ``a`` do.

    Neurons are compared by their features before and after the activation, and by the derivatives of the outputs with
    respect to both, along one random direction of the outputs for each input: by what they see and by what follows
    from it. For every order of neurons, correlations over inputs and places are averaged over all layers where the
    neurons are made or read, residual streams included, and neurons are assigned to the largest sum (of magnitudes
    where signs are free, with the sign of the correlation; before a normalization the sign is that of its gain).
    Positive scales are those of the balanced gauge; around normalizations, the ratio of standard deviations. Orders are
    matched one by one, so nothing is iterated. Neurons that no linear or convolutional layer makes or reads by
    themselves (joined with others, inside heads) stay where they are. No labels and no loss are needed.

    Args:
        a: Parameters of the network to match to.
        b: Parameters of the network to move.
        spec: The symmetry of both.
        module: Their architecture; run in eval mode, left as it was.
        inputs: Batches.

    Raises:
        SpecMismatch: if the parameters do not fit the spec.
        SpecError: if no space of the spec can be read off a layer.

    Source: Li et al. 2015, arXiv:1511.07543, and Ainsworth et al. 2022, arXiv:2209.04836, section 3.1, who compare the
    activations of one layer. Derivatives, all sites of an order together, signs and scales are ours (`docs/align.md`).
    """
    for which, params in (("first", a), ("second", b)):
        if spec.check(params) is not None:
            raise SpecMismatch(f"the {which} argument stacks several networks. Match them one by one.")
    settled = balanced_sizes(spec)
    gain = [gains(params, spec) for params in (a, b)]
    gauges = [balance(stacked(params, spec, single=True), spec)[1].scale for params in (a, b)] if settled else []
    keys = {space.name: torch.arange(space.size).double().unsqueeze(0) for space in spec.free}
    scale = {space.name: torch.ones(space.size, dtype=torch.float64) for space in spec.free}
    for root, family in features([a, b], spec, module, inputs).items():
        correlation = family.together.between(0, 1)
        order = assign(-(correlation.abs() if family.signed else correlation))
        keys[root] = order.argsort().double().unsqueeze(0)
        for name, own in family.own.items():
            signs = correlation if name == family.signed else own.between(0, 1)
            chosen = signs.gather(-1, order.unsqueeze(-1))[..., 0]
            if name in gain[0]:
                chosen = gain[0][name] * gain[1][name][order]
            here, there = own.deviation
            scale[name] = scale_between(here, there[order], chosen, spec.space[name], settled)
            if name in settled:
                left, right = (gauge[name][0].abs() for gauge in gauges)
                scale[name] *= right[order] / left
    return Element({name: perm[0] for name, perm in arrange(spec, keys, 1).items()}, scale)
