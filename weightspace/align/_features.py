"""What neurons do on data: how the features of several networks correlate, space by space."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from .._errors import SpecError
from ..gauge.canonical import has_own_order
from ..spec import Axis, NeuronSpace, SymmetrySpec
from ._align import Progress
from ._batches import check_batches

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@final
@dataclass(frozen=True, eq=False)
class Features:
    """Features of ``k`` networks in one space, compared over inputs and places.

    Attributes:
        space: Whose neurons they are.
        guides: Whether the order of the neurons is read off them. The outputs of a layer whose normalization is
            seen too are not asked: their signs are free, those of what comes after are not.
        correlation: By pair of networks ``(i, j)``, ``i < j``: of every neuron of ``i`` (rows) with every one of ``j``;
            the mean over the layers that make the space.
        deviation: Standard deviations over all these layers; 0 for a neuron that is constant on the data.
    """

    space: NeuronSpace
    guides: bool
    correlation: dict[tuple[int, int], Float[Tensor, "n n"]]
    deviation: Float[Tensor, "k n"]

    def between(self, i: int, j: int) -> Float[Tensor, "n n"]:
        """Correlations of two different networks, the first one's neurons as rows."""
        return self.correlation[i, j] if i < j else self.correlation[j, i].T

    @property
    def signed(self) -> bool:
        """Whether neurons may change their signs."""
        return self.space.scale in ("sign", "nonzero")

    @property
    def sized(self) -> bool:
        """Whether neurons may be scaled by positive numbers."""
        return self.space.scale in ("positive", "nonzero")


def features(
    networks: Sequence[Mapping[str, Tensor]],
    spec: SymmetrySpec,
    module: nn.Module,
    inputs: Sequence[Tensor],
    progress: Progress | None = None,
) -> dict[str, list[Features]]:
    """Features of the spaces that share an order, by the space that holds it.

    Features are the outputs of linear and convolutional layers and of batch normalizations.

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
    makers = dict(_makers(spec, module))
    if not makers:
        raise SpecError(
            f"no neuron space of {spec} is the output of one linear or convolutional layer, so there are no features "
            "to match. Match weights: ws.align.align(a, b, spec)."
        )
    sums = {layer: _Sums(len(networks)) for layer in makers}
    with _recorded(module, list(makers)) as run, torch.no_grad():
        for place, batch in enumerate(inputs):
            seen = [run(params, batch) for params in networks]
            for layer, total in sums.items():
                total.add([here[layer] for here in seen])
            if progress is not None:
                progress(place + 1, len(inputs) + 1)
    normalized = {space for layer, space in makers.items() if isinstance(module.get_submodule(layer), _BatchNorm)}
    led = {spec.root(space.name) for space in normalized}
    found: dict[str, list[Features]] = {}
    for space in dict.fromkeys(makers.values()):
        root = spec.root(space.name)
        correlation, deviation = _pooled([sums[layer] for layer, made in makers.items() if made == space])
        guides = space in normalized or root not in led
        found.setdefault(root, []).append(Features(space, guides, correlation, deviation))
    return found


def has_features(spec: SymmetrySpec, module: nn.Module) -> bool:
    """Whether a space of the spec is the output of one linear or convolutional layer."""
    return next(_makers(spec, module), None) is not None


def scale_between(
    here: Float[Tensor, " n"], there: Float[Tensor, " n"], sign: Float[Tensor, " n"], found: Features
) -> Float[Tensor, " n"]:
    """What multiplies matched neurons, given deviations here and there, and a number with the sign of the match.

    The sign where signs are free, the ratio of the deviations where sizes are.
    """
    scale = torch.where(sign < 0, -1.0, 1.0).double() if found.signed else torch.ones_like(here)
    if not found.sized:
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

    def moments(self) -> tuple[dict[tuple[int, int], Tensor], Float[Tensor, "k n"]]:
        """Correlations by pair, and variances."""
        mean = torch.stack(self.first) / self.count
        variance = (torch.stack(self.second) / self.count - mean.square()).clamp_min(0)
        deviation = variance.sqrt()
        correlation = {
            (i, j): (total / self.count - torch.outer(mean[i], mean[j]))
            / torch.outer(deviation[i], deviation[j]).clamp_min(1e-30)
            for (i, j), total in self.products.items()
        }
        return correlation, variance


def _pooled(layers: list[_Sums]) -> tuple[dict[tuple[int, int], Tensor], Float[Tensor, "k n"]]:
    """Mean correlations and joint deviations over layers that make one space."""
    each = [layer.moments() for layer in layers]
    correlation = {pair: torch.stack([one[pair] for one, _ in each]).mean(0) for pair in each[0][0]}
    return correlation, torch.stack([variance for _, variance in each]).mean(0).sqrt()


def _makers(spec: SymmetrySpec, module: nn.Module) -> Iterator[tuple[str, NeuronSpace]]:
    """Layer and space, for layers whose outputs are the neurons of one free space that is permuted as a whole.

    Outputs that are only permuted (of a normalization before an activation that lets no scale pass) are those of the
    space without its scales.
    """
    for name, layer in module.named_modules():
        entry = "weight" if isinstance(layer, _LAYERS) else "bias" if isinstance(layer, _BatchNorm) else None
        key = f"{name}.{entry}" if name else entry
        if key is None or key not in spec.axes:
            continue
        axis = spec.axes[key][0]
        if not isinstance(axis, Axis) or not axis.plain or axis.space is None or axis.repeat != 1:
            continue
        root = spec.space[spec.root(axis.space)]
        if has_own_order(root) and root.within is None:
            space = spec.space[axis.space]
            yield name, space if axis.power else replace(space, scale="trivial")


@contextmanager
def _recorded(
    module: nn.Module, names: Sequence[str]
) -> Iterator[Callable[[Mapping[str, Tensor], Tensor], dict[str, Tensor]]]:
    """A function that runs parameters on a batch and gives features by layer, ``[inputs and places, neurons]``."""
    layers = dict(module.named_modules())
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(layer: nn.Module, _: object, out: Tensor) -> None:
            columns = out if isinstance(layer, nn.Linear) or out.ndim == 2 else out.movedim(1, -1)
            kept[name] = columns.flatten(0, -2).double()

        return hook

    def run(params: Mapping[str, Tensor], batch: Tensor) -> dict[str, Tensor]:
        functional_call(module, dict(params), (batch.clone(),))
        return dict(kept)

    handles = [layers[name].register_forward_hook(keep(name)) for name in names]
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield run
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in modes.items():
            part.training = mode
