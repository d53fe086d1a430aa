"""What neurons do on data: how the features of several networks correlate, space by space."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from .._errors import SpecError
from ..gauge.canonical import has_own_order
from ..spec import Axis, NeuronSpace, SymmetrySpec
from ._align import Progress
from ._batches import check_batches


@final
@dataclass(frozen=True, eq=False)
class Features:
    """Features of ``k`` networks in one space, compared over inputs and places.

    Attributes:
        correlation: By pair of networks ``(i, j)``, ``i < j``: of every neuron of ``i`` (rows) with every one of ``j``.
        deviation: Standard deviations; 0 for a neuron that is constant on the data.
    """

    correlation: dict[tuple[int, int], Float[Tensor, "n n"]]
    deviation: Float[Tensor, "k n"]

    def between(self, i: int, j: int) -> Float[Tensor, "n n"]:
        """Correlations of two different networks, the first one's neurons as rows."""
        return self.correlation[i, j] if i < j else self.correlation[j, i].T


def features(
    networks: Sequence[Mapping[str, Tensor]],
    spec: SymmetrySpec,
    module: nn.Module,
    inputs: Sequence[Tensor],
    progress: Progress | None = None,
) -> dict[str, Features]:
    """Features by space: the outputs of the first linear or convolutional layer that makes it.

    Args:
        networks: Parameters of each network.
        spec: The symmetry of all.
        module: Their architecture; run in eval mode, left as it was.
        inputs: Batches.
        progress: Called with batches seen, and one more than their number: matching comes after.

    Raises:
        SpecError: if no space of the spec can be read off a layer.
        ConfigError: if there is no batch.
    """
    check_batches(inputs)
    makers = dict(reversed(list(_makers(spec, module))))  # the first layer of each space
    if not makers:
        raise SpecError(
            f"no neuron space of {spec} is the output of one linear or convolutional layer, so there are no features "
            "to match. Match weights: ws.align.align(a, b, spec)."
        )
    sums: dict[str, _Sums] = {}
    with _recorded(module, makers) as run, torch.no_grad():
        for place, batch in enumerate(inputs):
            seen = [run(params, batch) for params in networks]
            for name in makers:
                sums.setdefault(name, _Sums(len(networks))).add([here[name] for here in seen])
            if progress is not None:
                progress(place + 1, len(inputs) + 1)
    return {name: found.features() for name, found in sums.items()}


def has_features(spec: SymmetrySpec, module: nn.Module) -> bool:
    """Whether a space of the spec is the output of one linear or convolutional layer."""
    return next(_makers(spec, module), None) is not None


def signed(space: NeuronSpace) -> bool:
    """Whether its neurons may change their signs."""
    return space.scale in ("sign", "nonzero")


def sized(space: NeuronSpace) -> bool:
    """Whether its neurons may be scaled by positive numbers."""
    return space.scale in ("positive", "nonzero")


def scale_between(
    here: Float[Tensor, " n"], there: Float[Tensor, " n"], correlation: Float[Tensor, " n"], space: NeuronSpace
) -> Float[Tensor, " n"]:
    """What multiplies matched neurons, given deviations here and there and their correlation.

    The sign of the correlation where signs are free, the ratio of the deviations where sizes are.
    """
    scale = torch.where(correlation < 0, -1.0, 1.0).double() if signed(space) else torch.ones_like(here)
    if not sized(space):
        return scale
    # A neuron that is silent on the data says nothing about its scale.
    return scale * (here / there.clamp_min(1e-30)).where((here > 0) & (there > 0), 1.0)


@final
class _Sums:
    """Sums over inputs from which means, deviations and correlations follow."""

    def __init__(self, num: int) -> None:
        self.count = 0
        self.first = [torch.zeros(())] * num
        self.second = [torch.zeros(())] * num
        self.products = {(i, j): torch.zeros(()) for i in range(num) for j in range(i + 1, num)}

    def add(self, seen: list[Float[Tensor, "p n"]]) -> None:
        self.count += len(seen[0])
        self.first = [total + x.sum(0) for total, x in zip(self.first, seen, strict=True)]
        self.second = [total + x.square().sum(0) for total, x in zip(self.second, seen, strict=True)]
        self.products = {(i, j): total + seen[i].T @ seen[j] for (i, j), total in self.products.items()}

    def features(self) -> Features:
        mean = torch.stack(self.first) / self.count
        deviation = (torch.stack(self.second) / self.count - mean.square()).clamp_min(0).sqrt()
        correlation = {
            (i, j): (total / self.count - torch.outer(mean[i], mean[j]))
            / torch.outer(deviation[i], deviation[j]).clamp_min(1e-30)
            for (i, j), total in self.products.items()
        }
        return Features(correlation, deviation)


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


@contextmanager
def _recorded(
    module: nn.Module, makers: Mapping[str, str]
) -> Iterator[Callable[[Mapping[str, Tensor], Tensor], dict[str, Tensor]]]:
    """A function that runs parameters on a batch and gives the features by space, ``[inputs and places, neurons]``."""
    layers = dict(module.named_modules())
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(layer: nn.Module, _: object, out: Tensor) -> None:
            columns = out if isinstance(layer, nn.Linear) else out.movedim(1, -1)
            kept[name] = columns.flatten(0, -2).double()

        return hook

    def run(params: Mapping[str, Tensor], batch: Tensor) -> dict[str, Tensor]:
        functional_call(module, dict(params), (batch.clone(),))
        return dict(kept)

    handles = [layers[layer].register_forward_hook(keep(name)) for name, layer in makers.items()]
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield run
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in modes.items():
            part.training = mode
