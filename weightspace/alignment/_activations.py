"""Matching by what neurons do on data: by their features, and by what the outputs make of them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .._errors import SpecMismatch
from ..gauge import Element, compose, inverse
from ..gauge.canonical import balance
from ..gauge.index import arrange
from ..spec import SymmetrySpec
from ._batches import Inputs
from ._features import balanced_sizes, blocks, cheapest, features, scale_between
from ._gains import set_upright, without_gain_signs
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
    where signs are free, with the sign of the correlation). Heads are assigned as blocks, each pair at its best inner
    assignment. Where a normalization has gains, their signs are those of the neurons: no gain is set against another.
    Positive scales are those of the balanced gauge; around normalizations, the ratio of standard deviations. Orders are
    matched one by one, so nothing is iterated. Neurons that no linear or convolutional layer makes or reads by
    themselves (joined with others) stay where they are. No labels and no loss are needed.

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
        if spec.check_values(params) is not None:
            raise SpecMismatch(f"the {which} argument stacks several networks. Match them one by one.")
    whole = spec
    (a, to_a), (b, to_b) = (set_upright(params, whole) for params in (a, b))
    spec = without_gain_signs(whole)
    settled = balanced_sizes(spec)
    gauges = [balance(stacked(params, spec, single=True), spec)[1].scale for params in (a, b)] if settled else []
    keys = {space.name: torch.arange(space.size).double().unsqueeze(0) for space in spec.free}
    scale = {space.name: torch.ones(space.size, dtype=torch.float64) for space in spec.free}
    for block, seen in blocks(spec, features([a, b], spec, module, inputs)):
        correlation = {root: family.together.between(0, 1) for root, family in seen.items()}
        agreement = {root: value.abs() if seen[root].signed else value for root, value in correlation.items()}
        orders = cheapest(block, agreement, spec)
        keys |= {root: order.argsort().double().unsqueeze(0) for root, order in orders.items()}
        for root, family in seen.items():
            order = orders[root]
            for name, own in family.own.items():
                signs = correlation[root] if name == family.signed else own.between(0, 1)
                here, there = own.deviation
                chosen = signs.gather(-1, order.unsqueeze(-1))[..., 0]
                scale[name] = scale_between(here, there[order], chosen, spec.space[name], settled)
                if name in settled:
                    left, right = (gauge[name][0].abs() for gauge in gauges)
                    scale[name] *= right[order] / left
    found = Element({name: perm[0] for name, perm in arrange(spec, keys, 1).items()}, scale)
    return compose(inverse(to_a), compose(found, to_b))
