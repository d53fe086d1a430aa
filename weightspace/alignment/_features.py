"""What neurons do on data: how their outputs, and what the network makes of them, correlate between networks.

A neuron is known by two things: when it is active, and what follows when it is. The second is the derivative of the
outputs; one random direction of the outputs for each input, the same for all networks, is a sample of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .._errors import SpecError
from ..gauge.match import Family as Block
from ..gauge.match import Progress, element_of, families, with_inside
from ..spec import NeuronSpace, SymmetrySpec
from ._batches import Inputs, check_batches
from ._sites import Site, recorded, sites

CONSTANT = 1e-6
"""Deviation, relative to the root mean square, below which a neuron is constant: what is left is rounding."""


@final
@dataclass(frozen=True, eq=False)
class Features:
    """Features of ``k`` networks, compared over inputs and places.

    Attributes:
        correlation: By pair of networks ``(i, j)``, ``i < j``: of every neuron of ``i`` (rows) with every one of ``j``.
        deviation: Standard deviations; 0 for a neuron that is constant on the data.
    """

    correlation: dict[tuple[int, int], Float[Tensor, "n n"]]
    deviation: Float[Tensor, "k n"]

    def between(self, i: int, j: int) -> Float[Tensor, "n n"]:
        """Correlations of two different networks, the first one's neurons as rows."""
        return self.correlation[i, j] if i < j else self.correlation[j, i].T


@final
@dataclass(frozen=True, eq=False)
class Family:
    """Spaces of one order.

    Attributes:
        together: All that says which neurons correspond, as one: features and derivatives at all sites.
        signed: The space whose signs are open in ``together``; ``None`` if correlations have their signs.
        own: By space, its features where they are made (or first seen), from which its scales follow.
    """

    together: Features
    signed: str | None
    own: dict[str, Features]


def features(
    networks: Sequence[Mapping[str, Tensor]],
    spec: SymmetrySpec,
    module: nn.Module,
    inputs: Inputs,
    progress: Progress | None = None,
) -> dict[str, Family]:
    """Features by the space that holds the order.

    Seen are the outputs of linear and convolutional layers and of batch normalization, and the inputs of linear and
    convolutional layers. Where signs are free at some sites of an order only, those sites are left out.

    Args:
        networks: Parameters of each network.
        spec: The symmetry of all, without signs that gains settle.
        module: Their architecture; run in eval mode, left as it was.
        inputs: Batches.
        progress: Called with batches seen, and one more than their number: matching comes after.

    Raises:
        SpecError: if no space of the spec can be read off a layer.
        ConfigError: if there is no batch.
    """
    check_batches(inputs)
    places = list(sites(spec, module))
    if not places:
        raise SpecError(
            f"no neuron space of {spec} is the output or input of one linear or convolutional layer, so there are no "
            "features to match. Match weights: ws.align(a, b, spec)."
        )
    values: dict[Site, _Sums] = {site: _Sums(len(networks)) for site in places}
    slopes: dict[Site, _Sums] = {site: _Sums(len(networks)) for site in places}
    with recorded(module, places) as run:
        for number, batch in enumerate(inputs):
            seen = [run(params, batch, number) for params in networks]
            for site in seen[0][0]:
                values[site].add([value[site] for value, _ in seen])
                slopes[site].add([slope[site] for _, slope in seen])
            if progress is not None:
                progress(number + 1, len(inputs) + 1)
    places = [site for site in places if values[site].count]  # layers that do not run say nothing
    found = {}
    for root in dict.fromkeys(spec.root(site.space) for site in places):
        here = [site for site in places if spec.root(site.space) == root]
        first = {site.space: site for site in reversed(sorted(here, key=lambda site: site.rank)) if site.scaled}
        own = {space: values[site].features() for space, site in first.items()}
        plain = [site for site in here if not (site.scaled and signed(spec.space[site.space]))]
        # Signs of different spaces are different unknowns: one space alone then, the one seen most often.
        names = [site.space for site in here]
        turned = None if plain else max(names, key=names.count)
        chosen = plain or [site for site in here if site.space == turned]
        parts = [values[site].features() for site in chosen] + [slopes[site].features(center=False) for site in chosen]
        found[root] = Family(_joined(parts), turned, own)
    return found


def cheapest(
    block: Block, agreement: Mapping[str, Float[Tensor, "_n _n"]], spec: SymmetrySpec
) -> dict[str, Int[Tensor, " _n"]]:
    """By space the order in which neurons agree most, summed over a family and those inside its neurons."""
    names = [each.space for each in with_inside(block)]
    costs = {name: -agreement[name].unsqueeze(0) if name in agreement else None for name in names}
    step = element_of(block, costs, {}, spec, 1)
    return {name: step.perm[name][0] for name in names}


def blocks(spec: SymmetrySpec, found: Mapping[str, Family]) -> Iterator[tuple[Block, dict[str, Family]]]:
    """What is put in order together, heads with the neurons inside them, and its features by space."""
    for block in families(spec):
        seen = {each.space: found[each.space] for each in with_inside(block) if each.space in found}
        if seen and block.ordered:
            yield block, seen


def has_features(spec: SymmetrySpec, module: nn.Module) -> bool:
    """Whether neurons of a space of the spec are what one layer puts out or takes in."""
    return next(sites(spec, module), None) is not None


def signed(space: NeuronSpace) -> bool:
    """Whether its neurons may change their signs."""
    return space.scale in ("sign", "nonzero")


def balanced_sizes(spec: SymmetrySpec) -> frozenset[str]:
    """Spaces whose one size multiplies the fan-in and divides the fan-out: the balanced gauge settles it.

    What normalizations leave open (several sizes for one neuron) it settles by numbers that say little.
    """
    return frozenset(
        each.sizes[0]
        for family in families(spec)
        for each in with_inside(family)
        if len(each.sizes) == 1 and {power for carrier in each.carriers for _, power in carrier.powers} == {1, -1}
    )


def scale_between(
    here: Float[Tensor, " n"],
    there: Float[Tensor, " n"],
    agreement: Float[Tensor, " n"],
    space: NeuronSpace,
    balanced: frozenset[str],
) -> Float[Tensor, " n"]:
    """What multiplies matched neurons of networks in the balanced gauge, given deviations and what says the sign.

    The sign of the agreement (a correlation) where signs are free. The ratio of the deviations
    where sizes are, but for those that the gauge has settled: matched neurons do nearly the same, not the same, and how
    much they do is no gauge.
    """
    scale = torch.where(agreement < 0, -1.0, 1.0).double() if signed(space) else torch.ones_like(here)
    if space.scale not in ("positive", "nonzero") or space.name in balanced:
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

    def features(self, *, center: bool = True) -> Features:
        mean = torch.stack(self.first) / self.count * float(center)
        square = torch.stack(self.second) / self.count
        variance = square - mean.square()
        deviation = variance.where(variance > CONSTANT**2 * square, 0.0).sqrt()
        correlation = {}
        for (i, j), total in self.products.items():
            size = torch.outer(deviation[i], deviation[j])
            inner = total / self.count - torch.outer(mean[i], mean[j])
            correlation[i, j] = (inner / size.where(size > 0, 1.0)).where(size > 0, 0.0)
        return Features(correlation, deviation)


def _joined(parts: Sequence[Features]) -> Features:
    """All parts as one: every neuron by what it does in all of them, each with deviation 1 where it varies at all."""
    varies = torch.stack([(part.deviation > 0).double() for part in parts]).sum(0).clamp_min(1)
    pairs = {
        (i, j): torch.stack([part.correlation[i, j] for part in parts]).sum(0)
        / torch.outer(varies[i], varies[j]).sqrt()
        for i, j in parts[0].correlation
    }
    return Features(pairs, parts[0].deviation)
