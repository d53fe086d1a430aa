"""One network from several: their mean where they agree best, with a proof that each was only moved."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._errors import ConfigError
from .._types import Params
from ..gauge import Element, act, compose, inverse
from ..spec import Example, SymmetrySpec
from ._align import Progress, certify
from ._batches import Inputs
from ._feature_universe import feature_universe
from ._shares import shares
from ._universe import Universe, universe

Matched = Literal["weights", "features"]

Score = Callable[[Params], float]
"""A validation metric of one network; higher is better."""


@final
@dataclass(frozen=True, eq=False)
class Merged:
    """A merged network and how it came about.

    Attributes:
        params: The mean, in the gauge of the first network, in its number types; integers are those of the first.
        weights: What each network counts in the mean; they sum to 1, and are 0 for networks left out.
        elements: Of each network, the element from its own gauge into the common universe (a leading axis ``k``).
        distances: Of each network, its distance there to the mean of all, relative to the norm of the mean.
        totals: Sum of the squared distances to the mean (of weights, or of features with deviation 1, by which they
            were matched), at first and after each round of matching.
        output_differences: Largest relative change of each network's outputs by moving it; empty without a module.
        scores: Metric of each network alone, for a greedy soup; otherwise empty.
        score: Metric of the merged network, likewise.
        naive: Metric of the mean of the networks as given, with the same weights, likewise.
        matched: By what neurons were matched.
    """

    params: Params
    weights: Float[Tensor, " k"]
    elements: Element
    distances: Float[Tensor, " k"]
    totals: tuple[float, ...]
    output_differences: tuple[float, ...]
    scores: tuple[float, ...] = ()
    score: float | None = None
    naive: float | None = None
    matched: Matched = "weights"

    @property
    def worse_than_naive(self) -> bool:
        """Whether the mean of the networks as given has a better metric; never without one."""
        return self.score is not None and self.naive is not None and self.score < self.naive

    @property
    def used(self) -> tuple[int, ...]:
        """Places of the networks that count."""
        return tuple(self.weights.nonzero()[:, 0].tolist())

    def between(self, source: int, target: int) -> Element:
        """The element from the gauge of one network to that of another one, through the universe.

        Around any cycle these compose to the identity: permutations and signs exactly, sizes up to rounding.
        """
        return compose(inverse(self.elements[target]), self.elements[source])

    def moved(self, networks: Sequence[Mapping[str, Tensor]], spec: SymmetrySpec) -> list[Params]:
        """The networks that were merged, each in the gauge of the first one, where their mean is the merged one."""
        return [act(self.between(k, 0), params, spec) for k, params in enumerate(networks)]

    def __str__(self) -> str:
        proof = f"{max(self.output_differences):.2g}" if self.output_differences else "not measured"
        far = float(self.distances.mean())
        worse = f"; worse than naive: {self.score:.4g} against {self.naive:.4g}" if self.worse_than_naive else ""
        return (
            f"{len(self.used)} of {len(self.weights)} networks merged by {self.matched}, mean distance to their mean "
            f"{far:.4g}, outputs changed by moving: {proof}{worse}"
        )


def merge(
    networks: Sequence[Mapping[str, Tensor]],
    spec: SymmetrySpec,
    *,
    weights: Sequence[float] | None = None,
    module: nn.Module | None = None,
    example: Example | None = None,
    inputs: Inputs | None = None,
    score: Score | None = None,
    restarts: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Merged:
    """The weighted mean of the networks, each first moved within its orbit to where all agree best (a uniform soup).

    Where they are moved does not depend on the weights, nor on the gauges that they come in, but for ties and local
    optima. For networks without a normalization, or with batch normalization, correct the statistics of the mean
    afterwards: :func:`repair`, :func:`reestimate`.

    Args:
        networks: Parameters of each network.
        spec: The symmetry of all.
        weights: What each counts, at least 0; divided by their sum. Default: all the same.
        module: The architecture, to measure on it that every moved network computes the same.
        example: Inputs for that; by default the first of ``inputs``, else random ones
            (:func:`weightspace.same_function`).
        inputs: Batches. With them neurons are matched by what they do on these (their features, read off the module);
            without, by their weights. Between unrelated networks features are much the better guide.
        score: A metric, higher is better, to compare the result with the mean of the networks as given.
        restarts: Random starts of each pair of networks besides the usual ones, where weights are matched.
        seed: Of the random starts.
        progress: Called with networks compared with all after them and their number, or with batches seen likewise.

    Raises:
        SpecMismatch: if there is no network, one does not fit the spec or is not finite; if the outputs of a moved
            network differ by more than rounding (the spec is wrong for this module).
        ConfigError: if the weights are not one for each network, finite, at least 0, and some above; if there are
            inputs and no module.
        SpecError: if there are inputs, and no space of the spec can be read off a layer.

    Source: the universe follows the idea of Crisostomi et al. 2024, arXiv:2405.17897, who optimize all permutations by
    Frank-Wolfe; ours descends block by block, over scales and signs as well.
    """
    share = shares(weights, len(networks))
    common = _universe(networks, spec, module, inputs, restarts=restarts, seed=seed, progress=progress)
    proof = _certificates(networks, common, spec, module, inputs[0] if example is None and inputs else example)
    params = _mean(networks, common, share, spec)
    found = Merged(params, share, common.elements, common.spread, common.totals, proof, matched=_matched(inputs))
    if score is None:
        return found
    scores = tuple(_checked(score(dict(net)), f"network {k}") for k, net in enumerate(networks))
    merged, naive = score(params), score(plain_mean(networks, share.tolist()))
    return replace(
        found, scores=scores, score=_checked(merged, "the result"), naive=_checked(naive, "the networks' plain mean")
    )


def greedy_soup(
    networks: Sequence[Mapping[str, Tensor]],
    spec: SymmetrySpec,
    score: Score,
    *,
    module: nn.Module | None = None,
    example: Example | None = None,
    inputs: Inputs | None = None,
    restarts: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Merged:
    """The mean of those networks that do not make it worse, by a metric, each first moved to where all agree best.

    Networks are tried from the best to the worst; one stays if the mean with it scores at least as well as without. So
    the result scores no worse than the best network alone. Take the metric on data that is not the test data. Where
    statistics need correcting, do so inside ``score`` and once more on the result.

    Args:
        networks: Parameters of each network.
        spec: The symmetry of all.
        score: Metric of the parameters of one network, higher is better.
        module: See :func:`merge`, as are the other arguments.
        example: Inputs to measure on.
        inputs: Batches to match features on.
        restarts: Random starts of each pair of networks.
        seed: Of the random starts.
        progress: See :func:`merge`.

    Raises:
        SpecMismatch: see :func:`merge`.
        ConfigError: if a score is not a number.

    Source: Wortsman et al. 2022, arXiv:2203.05482, for networks fine-tuned from one base; the alignment is ours.
    """
    common = _universe(networks, spec, module, inputs, restarts=restarts, seed=seed, progress=progress)
    proof = _certificates(networks, common, spec, module, inputs[0] if example is None and inputs else example)
    num = len(networks)

    def mean(chosen: list[int]) -> Params:
        return _mean(networks, common, shares([float(k in chosen) for k in range(num)], num), spec)

    scores = tuple(_checked(score(mean([k])), f"network {k}") for k in range(num))
    order = sorted(range(num), key=lambda k: -scores[k])
    chosen, best = order[:1], scores[order[0]]
    for k in order[1:]:
        here = _checked(score(mean([*chosen, k])), f"the mean of networks {[*chosen, k]}")
        if here >= best:
            chosen, best = [*chosen, k], here
    share = shares([float(k in chosen) for k in range(num)], num)
    naive = _checked(score(plain_mean(networks, [1 / num] * num)), "the networks' plain mean")
    proofs = (common.elements, common.spread, common.totals, proof)
    return Merged(mean(chosen), share, *proofs, scores, best, naive, _matched(inputs))


def plain_mean(networks: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> Params:
    """The mean of the networks as given, the control of every merge; integers and types are those of the first."""
    return {
        name: torch.stack([w * net[name].double() for w, net in zip(weights, networks, strict=True)]).sum(0).to(value)
        if value.is_floating_point()
        else value.clone()
        for name, value in networks[0].items()
    }


def _matched(inputs: Inputs | None) -> Matched:
    return "weights" if inputs is None else "features"


def _universe(
    networks: Sequence[Mapping[str, Tensor]],
    spec: SymmetrySpec,
    module: nn.Module | None,
    inputs: Inputs | None,
    *,
    restarts: int,
    seed: int,
    progress: Progress | None,
) -> Universe:
    """By features, if there are inputs; otherwise by weights."""
    if inputs is None:
        return universe(networks, spec, restarts=restarts, seed=seed, progress=progress)
    if module is None:
        raise ConfigError("features are read off a module, and none was given. Add module=net, or leave inputs out.")
    return feature_universe(networks, spec, module, inputs, progress=progress)


def _mean(
    networks: Sequence[Mapping[str, Tensor]], common: Universe, share: Float[Tensor, " k"], spec: SymmetrySpec
) -> Params:
    """The mean in the universe, carried to the gauge of the first network."""
    first = networks[0]
    floats = {name: value for name, value in common.placed.items() if value.is_floating_point()}
    mean = {name: torch.tensordot(share, value, 1) for name, value in floats.items()}
    whole = {name: mean[name] if name in mean else common.placed[name][0] for name in common.placed}
    carried = act(inverse(common.elements[0]), whole, spec)
    return {
        name: carried[name].to(value) if value.is_floating_point() else value.clone() for name, value in first.items()
    }


def _certificates(
    networks: Sequence[Mapping[str, Tensor]],
    common: Universe,
    spec: SymmetrySpec,
    module: nn.Module | None,
    example: Example | None,
) -> tuple[float, ...]:
    if module is None:
        return ()
    back, found = inverse(common.elements[0]), []
    for k, params in enumerate(networks):
        moved = act(compose(back, common.elements[k]), params, spec)
        found.append(certify(params, moved, module, example))
    return tuple(gap for gap in found if gap is not None)


def _checked(score: float, what: str) -> float:
    value = float(score)
    if math.isnan(value):
        raise ConfigError(f"the score of {what} is not a number. Let score(params) return a finite float.")
    return value
