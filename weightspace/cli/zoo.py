"""``weightspace zoo make``, ``zoo import``, ``zoo info``, ``zoo show`` and ``zoo check``."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._arguments import add_data, add_out, whole
from ._console import print_table, progress, say
from ._verb import Verb

if TYPE_CHECKING:
    from ..zoo import Zoo


def _make_arguments(parser: argparse.ArgumentParser) -> None:
    from .. import recipes

    parser.add_argument("recipe", metavar="RECIPE", help=f"one of: {', '.join(recipes.zoo_names())}")
    add_out(parser, "folder of the zoo")
    parser.add_argument("--num", type=whole(1, 10**7), metavar="N", help="training runs (default: the recipe's)")
    add_data(parser)


def _make(args: argparse.Namespace, _: list[str]) -> None:
    from .. import recipes
    from ..zoo import make_zoo

    config = recipes.zoo(args.recipe)
    with progress() as show:
        zoo = make_zoo(config, args.out, data_dir=args.data, num=args.num, overwrite=args.overwrite, progress=show)
    say(f"zoo: {args.out}")
    print_info(zoo)


def _info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("zoo", type=Path, metavar="DIR", help="folder of a zoo")


def _info(args: argparse.Namespace, _: list[str]) -> None:
    from ..zoo import Zoo

    print_info(Zoo.open(args.zoo))


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    _info_arguments(parser)
    add_out(parser, "picture to write, .png or .svg")
    parser.add_argument("--num", type=whole(1, 400), default=64, metavar="N", help="networks at most (default: 64)")
    add_data(parser)


def _show(args: argparse.Namespace, _: list[str]) -> None:
    from ..run.verbs.zoo_sheet import draw_zoo
    from ..zoo import Zoo

    with progress() as show:
        num = draw_zoo(Zoo.open(args.zoo), args.out, num=args.num, data_dir=args.data, progress=show)
    say(f"{num} networks of {args.zoo}, drawn: {args.out}")


def _check(args: argparse.Namespace, _: list[str]) -> None:
    from ..zoo import Zoo

    zoo = Zoo.open(args.zoo, whole=True)
    say(f"{args.zoo}: {len(zoo)} networks, every file as it was written")


def print_info(zoo: "Zoo") -> None:
    """What a zoo holds: architecture, origin, splits with the score that networks have, further columns."""
    import numpy as np

    from ..zoo import ImportedConfig

    say(f"images: {zoo.config.images}    architecture: {zoo.spec}")
    imported = isinstance(zoo.config, ImportedConfig)
    if isinstance(zoo.config, ImportedConfig):
        say(f"imported: {zoo.config.source} ({zoo.config.format})    networks: {zoo.config.target.nonlinearity}")
    rows: Mapping[str, Any] = zoo.rows
    score = next((name for name in _SCORES if name in rows), None)
    title, column, factor = _SCORES.get(score or "", ("Networks of each split", "", 1.0))
    quantiles = (column, "median", "95 %", "best") if score else ()
    lines = []
    for split in ("train", "val", "test"):
        picked = zoo.split(split)
        runs = len(np.unique(rows["id"][picked]))
        shown = ["-"] * len(quantiles)
        # Quantiles of a split without networks do not exist.
        if score and runs:
            shown = [f"{q:.1f}" for q in np.quantile(factor * rows[score][picked], (0.05, 0.5, 0.95, 1.0))]
        lines.append((split, str(runs), str(len(picked)), *shown))
    print_table(title, ("split", "runs", "networks", *quantiles), lines)
    numbers = [(name, value) for name, value in rows.items() if name not in _PLACES and value.dtype.kind in "iuf"]
    if imported and numbers:
        shown = [(name, *(f"{q:.4g}" for q in np.nanquantile(value, (0, 0.5, 1)))) for name, value in numbers]
        print_table("Columns", ("column", "least", "median", "most"), shown)


_SCORES = {
    "psnr": ("PSNR (dB) of each image", "PSNR, 5 %", 1.0),
    "val_accuracy": ("Accuracy (%) on the validation half of the test images", "accuracy, 5 %", 100.0),
    "test_accuracy": ("Accuracy (%) on the test images", "accuracy, 5 %", 100.0),
}
"""By column, the first of a zoo counting: title, heading and factor."""

_PLACES = ("id", "epoch", "row", "diverged")

CHECK = Verb(
    "zoo check",
    "Compare every file of a zoo with its digest.",
    "Reads all weights. What is damaged is named, with the line that repairs it; opening a zoo compares a few blocks.",
    "weightspace zoo check zoos/digits",
    _info_arguments,
    _check,
)

MAKE = Verb(
    "zoo make",
    "Train a zoo: many small networks of one architecture, with their accuracies.",
    "Weights go to safetensors shards, accuracies and hyper-parameters to parquet. Interrupt it at any moment:\n"
    "the same command continues, and the result is the same.",
    "weightspace zoo make digits_mlp_tanh --out zoos/digits --num 300",
    _make_arguments,
    _make,
    resumes=True,
)

SHOW = Verb(
    "zoo show",
    "Draw a sheet of what networks of a zoo compute.",
    "INRs are rendered as images. Classifiers have a row each: what they say of the same 200 test images, in colours.",
    "weightspace zoo show zoos/digits --out digits.png",
    _show_arguments,
    _show,
)

INFO = Verb(
    "zoo info",
    "Show what a zoo holds: architecture, splits, accuracies.",
    "Reads the index only, so it is quick for large zoos as well.",
    "weightspace zoo info zoos/digits",
    _info_arguments,
    _info,
)
