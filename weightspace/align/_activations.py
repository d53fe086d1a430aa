"""Matching by what neurons do on data: the element under which the features of two networks correlate most."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from .._errors import SpecError, SpecMismatch
from ..gauge import Element
from ..gauge.canonical import arrange, has_own_order
from ..spec import Axis, SymmetrySpec
from ._assign import assign


def match_activations(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: SymmetrySpec,
    module: nn.Module,
    inputs: Sequence[Tensor],
) -> Element:
    """The element that brings the features of ``b`` nearest to those of ``a`` on data.

    For every space the outputs of the first linear or convolutional layer that makes it are correlated over inputs
    and places; neurons are assigned to the largest sum of correlations (of magnitudes where signs are free, with the
    sign of the correlation). Positive scales are the ratio of standard deviations. Spaces are matched one by one, so
    nothing is iterated; features that no layer makes alone (joined with others, inside blocks) stay where they are.

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
    makers = dict(reversed(list(_makers(spec, module))))  # the first layer of each space
    if not makers:
        raise SpecError(
            f"no neuron space of {spec} is the output of one linear or convolutional layer, so there are no features "
            "to match. Match weights: ws.align.align(a, b, spec)."
        )
    sums = _moments(a, b, module, makers, inputs)
    keys = {space.name: torch.arange(space.size).double().unsqueeze(0) for space in spec.free}
    scale = {space.name: torch.ones(space.size, dtype=torch.float64) for space in spec.free}
    for name, (product, here, there) in sums.items():
        space = spec.space[name]
        correlation = product / (here.unsqueeze(-1) * there).clamp_min(1e-30)
        signed = space.scale in ("sign", "nonzero")
        order = assign(-(correlation.abs() if signed else correlation))
        keys[spec.root(name)] = order.argsort().double().unsqueeze(0)
        chosen = correlation.gather(-1, order.unsqueeze(-1))[..., 0]
        if signed:
            scale[name] = torch.where(chosen < 0, -1.0, 1.0).double()
        if space.scale in ("positive", "nonzero"):
            ratio = here / there[order].clamp_min(1e-30)
            # A neuron that is silent on the data says nothing about its scale.
            scale[name] = scale[name] * ratio.where((here > 0) & (there[order] > 0), 1.0)
    return Element({name: perm[0] for name, perm in arrange(spec, keys, 1).items()}, scale)


def _makers(spec: SymmetrySpec, module: nn.Module) -> Iterator[tuple[str, str]]:
    """Space and layer name, for layers whose outputs are the neurons of one free space with an order of its own."""
    for name, layer in module.named_modules():
        weight = f"{name}.weight" if name else "weight"
        if not isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) or weight not in spec.axes:
            continue
        axis = spec.axes[weight][0]
        if not isinstance(axis, Axis) or not axis.plain or axis.space is None or axis.repeat != 1:
            continue
        space = spec.space[axis.space]
        if not space.fixed and has_own_order(space) and space.within is None:
            yield space.name, name


def _moments(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    module: nn.Module,
    makers: Mapping[str, str],
    inputs: Sequence[Tensor],
) -> dict[str, tuple[Float[Tensor, "n n"], Float[Tensor, " n"], Float[Tensor, " n"]]]:
    """By space the covariance of the features of both networks, and the standard deviations of either."""
    layers = dict(module.named_modules())
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(layer: nn.Module, _: object, out: Tensor) -> None:
            kept[name] = _features(layer, out)

        return hook

    handles = [layers[layer].register_forward_hook(keep(name)) for name, layer in makers.items()]
    modes = {part: part.training for part in module.modules()}
    module.eval()
    total: dict[str, list[Tensor]] = {}
    try:
        with torch.no_grad():
            for batch in inputs:
                functional_call(module, dict(a), (batch,))
                here = dict(kept)
                functional_call(module, dict(b), (batch,))
                for name, x in here.items():
                    y = kept[name]
                    ones = x.new_tensor(float(x.shape[0]))
                    parts = [x.T @ y, x.sum(0), y.sum(0), x.square().sum(0), y.square().sum(0), ones]
                    total[name] = [p + q for p, q in zip(total[name], parts, strict=True)] if name in total else parts
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in modes.items():
            part.training = mode
    out = {}
    for name, (product, x, y, xx, yy, num) in total.items():
        deviation = [(square / num - (mean / num).square()).clamp_min(0).sqrt() for square, mean in ((xx, x), (yy, y))]
        out[name] = (product / num - torch.outer(x / num, y / num), *deviation)
    return out


def _features(layer: nn.Module, out: Tensor) -> Float[Tensor, "p n"]:
    """Features as columns in float64: places of an image, or of a sequence, count as further inputs."""
    if not isinstance(layer, nn.Linear):
        out = out.movedim(1, -1)
    return out.flatten(0, -2).double()
