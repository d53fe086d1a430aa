"""Where neurons of a space are seen when a network runs: outputs and inputs of its layers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from ..gauge.index import has_own_order
from ..spec import Axis, SymmetrySpec
from ._batches import Batch


@final
@dataclass(frozen=True)
class Site:
    """A place where neurons of a space are seen.

    Attributes:
        layer: Name of the module.
        space: Whose neurons they are.
        scaled: Whether the space's scale multiplies them; it does not reach residual streams before a normalization.
        output: Whether they are what the layer puts out, or else what it takes in.
        dim: Dimension of the neurons, from the end.
        repeat: Consecutive entries of each neuron.
        rank: 0 where a layer makes them; then normalizations and inputs.
    """

    layer: str
    space: str
    scaled: bool
    output: bool
    dim: int
    repeat: int
    rank: int

    def columns(self, value: Tensor) -> Float[Tensor, "p n"]:
        """Neurons as columns in float64; places of an image, or of a sequence, count as further inputs."""
        value = value.movedim(self.dim, -1)
        return value.unflatten(-1, (-1, self.repeat)).transpose(-1, -2).flatten(0, -2).double()


def sites(spec: SymmetrySpec, module: nn.Module) -> Iterator[Site]:
    """Where neurons of free spaces with a permutation of their own, alone or in blocks, go in or out of a layer."""
    dims = {nn.Linear: -1, nn.Conv1d: -2, nn.Conv2d: -3, nn.Conv3d: -4}
    for name, layer in module.named_modules():
        prefix = f"{name}." if name else ""
        dim = next((dim for kind, dim in dims.items() if isinstance(layer, kind)), None)
        if dim is not None and prefix + "weight" in spec.axes:
            out, into = (_neurons(spec, axis) for axis in spec.axes[prefix + "weight"][:2])
            if out is not None and out.repeat == 1:
                yield Site(name, str(out.space), out.power != 0, True, dim, 1, 0)
            if into is not None:
                yield Site(name, str(into.space), into.power != 0, False, dim, into.repeat, 2)
        elif isinstance(layer, _NormBase) and prefix + "bias" in spec.axes:
            out = _neurons(spec, spec.axes[prefix + "bias"][0])
            if out is not None and out.repeat == 1:
                yield Site(name, str(out.space), out.power != 0, True, 1, 1, 1)


def _neurons(spec: SymmetrySpec, axis: object) -> Axis | None:
    """The axis, if its space has a permutation of its own."""
    if not isinstance(axis, Axis) or not axis.plain or axis.space is None:
        return None
    return axis if has_own_order(spec.space[spec.root(axis.space)]) else None


Seen = dict[Site, Float[Tensor, "p n"]]


@contextmanager
def recorded(
    module: nn.Module, sites: Sequence[Site]
) -> Iterator[Callable[[Mapping[str, Tensor], Batch, int], tuple[Seen, Seen]]]:
    """What runs parameters on a batch (of a number) and gives features and derivatives by site."""
    layers = dict(module.named_modules())
    kept: dict[Site, Tensor] = {}

    def keep(site: Site) -> RemovableHandle:
        def after(_: nn.Module, __: object, out: Tensor) -> Tensor:
            kept[site] = out
            return out.clone()  # what follows may overwrite it

        def before(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            if args:  # not seen if it is given by name
                kept[site] = args[0]

        layer = layers[site.layer]
        return layer.register_forward_hook(after) if site.output else layer.register_forward_pre_hook(before)

    def run(params: Mapping[str, Tensor], batch: Batch, number: int) -> tuple[Seen, Seen]:
        kept.clear()
        names = {name for name, _ in module.named_parameters(remove_duplicate=False)}
        leaves = {name: value.detach() for name, value in params.items()}
        for name in names & leaves.keys():
            leaves[name].requires_grad_(leaves[name].is_floating_point())
        with torch.enable_grad():
            args = tuple(arg.clone() for arg in (batch if isinstance(batch, tuple) else (batch,)))
            out = functional_call(module, leaves, args, tie_weights=False)
        outs = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor) and leaf.requires_grad]
        draw = torch.Generator().manual_seed(number)
        along = [torch.randn(leaf.shape, generator=draw).to(leaf) for leaf in outs]
        seen = {id(value): value for value in kept.values() if value.requires_grad}
        found = torch.autograd.grad(outs, [*seen.values()], along, allow_unused=True) if outs and seen else ()
        slope = dict(zip(seen, found, strict=False))
        values: Seen = {}
        slopes: Seen = {}
        for site, value in kept.items():
            gradient = slope.get(id(value))
            values[site] = site.columns(value.detach())
            slopes[site] = site.columns(torch.zeros_like(value) if gradient is None else gradient)
        return values, slopes

    handles = [keep(site) for site in sites]
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield run
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in modes.items():
            part.training = mode
