"""``weightspace merge``: one network from several, by a recipe or from names on the command line."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import ConfigError
from ._architecture import Architecture, architecture_of
from ._arguments import add_data, add_permutations_only, shortened
from ._console import Show, megabytes, print_table, progress, say
from ._networks import add_recursive
from ._verb import Verb

if TYPE_CHECKING:
    from ..run.verbs.merge_recipe import MergeRecipe
    from ..run.verbs.merging import Sources

_EXAMPLE = """weightspace merge recipe.yaml, with recipe.yaml:
    merge_method: aligned
    models:
      - model: a.safetensors
        parameters: {weight: 0.5}
      - model: b.safetensors
        parameters: {weight: 0.5}
    architecture: my_package.nets:make
    input: 2,64
    output: merged.safetensors
  weightspace merge a.safetensors b.safetensors --model my_package.nets:make --input 2,64 --out merged.safetensors"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="RECIPE.yaml|NETWORK",
        help="one recipe; or network files, folders of shards or of networks, or patterns in quotes",
    )
    add_recursive(parser)
    parser.add_argument("--out", type=Path, metavar="PATH", help="file of the result, or folder for shards")
    parser.add_argument("--method", metavar="NAME", help="linear, uniform, aligned or greedy (default: aligned)")
    parser.add_argument(
        "--match", metavar="NAME", help="align by weights, or by features on training images (default with them)"
    )
    parser.add_argument("--weights", metavar="W,W,...", help="one number for each network (default: equal ones)")
    parser.add_argument("--model", metavar="PACKAGE.MODULE:FACTORY", help="function that makes the torch module")
    parser.add_argument("--input", action="append", metavar="SHAPE", help="shape of its input, e.g. 2,3,32,32")
    parser.add_argument("--spec", metavar="FILE", help="text of the spec, instead of the module")
    parser.add_argument("--images", metavar="NAME", help="image set for choosing (greedy), features, statistics")
    parser.add_argument(
        "--statistics",
        metavar="NAME",
        help="repair or reestimate the statistics of the result on training images, or none (default: repair where "
        "there is batch normalization)",
    )
    add_permutations_only(parser)
    add_data(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would be done and the memory it takes; end")


def _run(args: argparse.Namespace, _: list[str]) -> None:
    recipe = _recipe(args)
    if recipe.output is None:
        raise ConfigError("the result has no place to go. Add --out merged.safetensors, or 'output:' to the recipe")
    from ..files.writer import target
    from ..run.verbs.merging import merge_linear, open_sources

    known = None if recipe.as_stored else architecture_of(_named(recipe))
    sources = open_sources(recipe, known and known.spec, known.ties if known else ())
    inputs = [path for source in recipe.models for path in (source.model, source.element) if path is not None]
    target(recipe.output, sources.base, inputs)
    if args.dry_run:
        _print_plan(recipe, sources)
        return
    with progress() as show:
        if known is None:
            merge_linear(sources, recipe.weights, recipe.output, show)
        else:
            _aligned(recipe, sources, known, recipe.output, args.data, show)
    say(f"merged: {recipe.output}")


def _named(recipe: "MergeRecipe") -> argparse.Namespace:
    """The architecture that a recipe names, as options name it."""
    shapes = [recipe.input] if isinstance(recipe.input, str) else recipe.input
    return argparse.Namespace(model=recipe.architecture, spec=recipe.spec, input=shapes, activation=None)


def _aligned(
    recipe: "MergeRecipe", sources: "Sources", known: Architecture, out: Path, data: Path | None, show: Show
) -> None:
    from ..run.verbs.merge_aligned import base_first, merge_aligned
    from ..run.verbs.working import bench, images_for, widest

    images = None if recipe.images is None else images_for(recipe.images, known.example, data, show)
    ready = None if known.module is None else bench(known.module, known.example, widest(sources.networks))
    done = merge_aligned(sources, recipe, known.spec, out, bench=ready, images=images, progress=show)
    found, scores, rounding = done.found, done.scores, done.rounding
    names = [str(recipe.models[place].model) for place in base_first(recipe)]
    rows = [
        (name, f"{float(weight):.4g}", f"{float(far):.4g}")
        for name, weight, far in zip(names, found.weights, found.distances, strict=True)
    ]
    rows.append(("merged", "", ""))
    header = ("network", "weight", "distance to the mean")
    if scores:
        rows = [(*row, f"{loss:.4f}", f"{100 * right:.1f}") for row, (loss, right) in zip(rows, scores, strict=True)]
        header = (*header, "loss (nats)", "accuracy (%)")
    print_table(f"Networks in a common gauge{f', validation half of {recipe.images}' if scores else ''}", header, rows)
    only = ", permutations only" if done.permutations_only else ""
    say(f"matched by {found.matched}{only}; statistics: {done.statistics}")
    if done.naive is not None:
        loss, right = done.naive
        say(f"mean as stored, not moved (naive): {loss:.4f} nats, {100 * right:.1f} %")
        if done.worse_than_naive:
            say(f"worse than naive: {scores[-1][0]:.4f} against {loss:.4f} nats")
    if found.output_differences:
        worst = max(found.output_differences)
        say(f"certificate: largest output difference of a network before and after moving, relative: {worst:.2g}")
        say(f"rounding to the number types of the file changes the outputs of the result by {rounding:.2g}")
    else:
        say("certificate: not measured, since a spec alone has no module to run. Name the architecture as well")


def _recipe(args: argparse.Namespace) -> "MergeRecipe":
    """The recipe named, or the one that the options say."""
    from ..run.verbs.merge_recipe import parse_recipe, read_recipe

    options = {"architecture": args.model, "spec": args.spec, "images": args.images, "merge_method": args.method}
    options |= {"match": args.match, "statistics": args.statistics, "input": tuple(args.input) if args.input else None}
    options["permutations_only"] = args.permutations_only or None
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if Path(args.sources[0]).suffix in (".yaml", ".yml"):
        strange = [
            f"--{word}"
            for word in (
                "method",
                "match",
                "weights",
                "model",
                "input",
                "spec",
                "images",
                "statistics",
                "permutations-only",
            )
            if getattr(args, word.replace("-", "_"))
        ]
        if strange or len(args.sources) > 1:
            raise ConfigError(
                f"{args.sources[0]} is a recipe, and {(strange or args.sources[1:])[0]} stands beside it. Write it "
                "into the recipe; only --out, --data and --dry-run go with one."
            )
        recipe = read_recipe(Path(args.sources[0]))
    else:
        names = _names(args)
        weights = _weights(args, len(names))
        models = [{"model": n, "parameters": {"weight": w}} for n, w in zip(names, weights, strict=True)]
        recipe = parse_recipe({"merge_method": "aligned", **given, "models": models}, "made of these options")
    return recipe if args.out is None else recipe.model_copy(update={"output": args.out})


def _names(args: argparse.Namespace) -> list[Path]:
    """The networks: a folder of one as it is, those of folders of many, and what patterns mean."""
    from ..files.folder import find_networks

    names: list[Path] = []
    for source in map(Path, args.sources):
        found = find_networks([source], recursive=args.recursive)
        names += found if len(found) > 1 else [source if source.exists() else found[0]]
    return names


def _weights(args: argparse.Namespace, count: int) -> list[float]:
    if args.weights is None:
        return [1.0] * count
    try:
        found = [float(text) for text in args.weights.split(",")]
    except ValueError:
        raise ConfigError(f"--weights {shortened(args.weights)} are no numbers. Write e.g. --weights 0.7,0.3") from None
    if len(found) != count:
        raise ConfigError(f"--weights names {len(found)} numbers for {count} networks. Write one for each.")
    return found


def _print_plan(recipe: "MergeRecipe", sources: "Sources") -> None:
    from ..run.verbs.merge_aligned import aligned_bytes
    from ..run.verbs.merging import linear_bytes

    rows = [
        (
            str(source.model),
            f"{weight:.4g}",
            str(len(network.parts)),
            megabytes(network.num_bytes),
            str(source.element or "-"),
        )
        for source, weight, network in zip(recipe.models, recipe.weights, sources.networks, strict=True)
    ]
    print_table(f"Method: {recipe.merge_method}", ("network", "weight", "files", "size", "moved by"), rows)
    count = sum(map(math.prod, sources.base.shapes.values()))
    linear = recipe.as_stored
    assert recipe.output is not None, "checked before"
    memory = linear_bytes(sources, recipe.output) if linear else aligned_bytes(sources)
    say(f"parameters: {count:,} in {len(sources.base.shapes)} tensors")
    say(f"memory: about {megabytes(memory)} besides Python and torch{', piece by piece' if linear else ''}")
    say(f"write: {recipe.output}, like {sources.base.path}\nNothing was written (--dry-run).")


MERGE = Verb(
    "merge",
    "Merge networks into one: their weighted mean, in a common gauge.",
    "Methods: 'aligned' brings networks from different trainings to a common gauge first; 'greedy' takes aligned\n"
    "networks, best first, while the accuracy on the validation images grows; 'linear' takes the numbers as they are,\n"
    "or moved by saved elements, piece by piece, for networks of any size; 'uniform' is linear with equal weights.\n"
    "Names, number types, metadata and shards are those of base_model, the first one by default. Paths are relative\n"
    "to the current folder.",
    _EXAMPLE,
    _arguments,
    _run,
)
