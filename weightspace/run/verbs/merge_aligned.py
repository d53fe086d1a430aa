"""Merging network files of different trainings: moved to where all agree best, then averaged or chosen greedily."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ..._types import Params
from ...alignment import (
    Merged,
    gains,
    greedy_soup,
    has_features,
    has_running_statistics,
    merge,
    plain_mean,
    reestimate,
    repair,
)
from ...files.writer import Progress, write_like
from ...spec import SymmetrySpec, without_scales
from ...zoo import Images
from .merge_recipe import MergeRecipe
from .merging import Sources
from .outputs import as_written, rounding_difference
from .working import Bench, in_type, widest

UNRELATED = 0.25
"""Distance of a network to the mean of all, relative to the mean's norm, from which on two share no past: different
trainings of a ResNet-18 are at 0.36, of a ViT at 0.58, of a GPT at 0.82. Signs and scales around normalizations then
follow noise (docs/merge.md)."""


def base_first(recipe: MergeRecipe) -> list[int]:
    """The networks' places with the base's first: the result has the gauge of the first."""
    return [recipe.base, *(place for place in range(len(recipe.models)) if place != recipe.base)]


@final
@dataclass(frozen=True, eq=False)
class MergeResult:
    """A merge that was written.

    Attributes:
        found: What was found, in the order of :func:`base_first`.
        statistics: What was done to the statistics of the result.
        scores: With images, loss (nats) and accuracy of each network in that order and of the result, as it is written.
        permutations_only: Whether networks were matched over order alone.
        naive: The same of the mean of the networks as stored; ``None`` without images.
        rounding: How far rounding to the number types of the file moves the result's outputs, relative to their size;
            ``None`` without a module.
    """

    found: Merged
    statistics: str
    permutations_only: bool
    scores: list[tuple[float, float]]
    naive: tuple[float, float] | None
    rounding: float | None

    @property
    def worse_than_naive(self) -> bool:
        """Whether the mean of the networks as stored has the smaller loss."""
        return self.naive is not None and self.scores[-1][0] > self.naive[0]


def merge_aligned(
    sources: Sources,
    recipe: MergeRecipe,
    spec: SymmetrySpec,
    out: Path,
    *,
    bench: Bench | None = None,
    images: Images | None = None,
    progress: Progress | None = None,
) -> MergeResult:
    """Write the mean of the networks, in the gauge of the base, once all are moved to where they agree best.

    Args:
        sources: The networks.
        recipe: Method, weights, starts and statistics.
        spec: The symmetry of all.
        out: See :func:`weightspace.files.checkpoint_writer.target`.
        bench: The module, for certificates, accuracies and statistics.
        images: Training images for features and statistics, the validation half for choosing and for the accuracies.
        progress: Called with networks done, networks in all, and a message.

    Features are matched where there are images and the module shows neurons, and statistics are corrected where there
    are images and batch normalization, unless the recipe says otherwise. By weights, networks with normalizations that
    share no past are matched over order alone.

    Raises:
        ConfigError: if a file cannot be read or written, or the images do not fit the module.
        SpecMismatch: if the outputs of a moved network change; nothing is written.
    """
    wide = widest(sources.networks)
    measure = bench.measure(images.val_x, images.val_y) if bench and images else None
    networks = [in_type(sources.networks[place].load(), wide) for place in base_first(recipe)]
    by_features, statistics = _chosen(recipe, spec, bench, images)
    words = {
        "module": bench and bench.module,
        "example": bench and bench.example,
        "inputs": bench.batches(images) if by_features and bench and images else None,
        "restarts": recipe.restarts,
        "seed": recipe.seed,
        "progress": None if progress is None else lambda done, total: progress(done, total, "matching"),
    }

    def anew(params: Params) -> Params:
        if statistics != "reestimate" or bench is None or images is None:
            return params
        return reestimate(bench.module, params, bench.batches(images))

    def accuracy(params: Params) -> float:
        assert measure is not None, "checked by the recipe"
        return measure(anew(params))[1]

    def over(symmetry: SymmetrySpec) -> Merged:
        if recipe.merge_method == "greedy":
            return greedy_soup(networks, symmetry, accuracy, **words)
        return merge(networks, symmetry, weights=[recipe.weights[place] for place in base_first(recipe)], **words)

    order_alone = bool(recipe.permutations_only)
    found = over(without_scales(spec) if order_alone else spec)
    if recipe.permutations_only is None and not by_features and gains(spec) and _unrelated(found):
        order_alone, found = True, over(without_scales(spec))
    params = anew(found.params)
    if statistics == "repair" and bench is not None and images is not None:
        ends = found.moved(networks, spec)
        params = repair(bench.module, params, ends, spec, bench.batches(images), weights=found.weights.tolist())
    written = as_written(params, sources.dtypes)
    rounding = None if bench is None else rounding_difference(bench.module, params, written, bench.example)
    scores = [] if measure is None else [measure(network) for network in (*networks, written)]
    naive = None if measure is None else measure(plain_mean(networks, [recipe.weights[k] for k in base_first(recipe)]))
    write_like(sources.base, out, lambda name: [params[name]], sources.dtypes)
    return MergeResult(found, statistics, order_alone, scores, naive, rounding)


def _unrelated(found: Merged) -> bool:
    """Whether a network is so far from the mean of all that they share no past."""
    return float(found.distances.max()) > UNRELATED


def _chosen(recipe: MergeRecipe, spec: SymmetrySpec, bench: Bench | None, images: Images | None) -> tuple[bool, str]:
    """Whether features are matched, and what is done to the statistics afterwards."""
    if bench is None or images is None:
        return False, "none"
    usual = "reestimate" if recipe.merge_method == "greedy" else "repair"
    statistics = recipe.statistics or (usual if has_running_statistics(bench.module) else "none")
    return recipe.match == "features" or (recipe.match is None and has_features(spec, bench.module)), statistics


def aligned_bytes(sources: Sources) -> int:
    """About the memory that matching all pairs of the networks takes, in bytes."""
    numbers = sum(math.prod(shape) for shape in sources.base.shapes.values())
    return 8 * numbers * (10 + 6 * len(sources.networks)) + sum(network.num_bytes for network in sources.networks)
