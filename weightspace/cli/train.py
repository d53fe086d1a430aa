"""``weightspace train``: a recipe, changed by a YAML file and by options made from the configuration itself."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import ConfigError
from ._arguments import add_data
from ._console import progress, say
from ._options import configured
from ._verb import Verb

if TYPE_CHECKING:
    from ..run.config import Run

_OWN = "Besides the options below: --out PATH (required), --config FILE.yaml, --data DIR."


def _arguments(parser: argparse.ArgumentParser) -> None:
    from .. import recipes

    parser.add_argument("recipe", metavar="RECIPE", help=f"one of: {', '.join(recipes.names())}")
    parser.add_argument(
        "--config", type=Path, metavar="FILE.yaml", help="values that replace the recipe's; options replace both"
    )
    # Asking for a recipe's options needs no place for results, so a missing one is met in `_train`.
    parser.add_argument("--out", type=Path, metavar="PATH", help="folder of the run (required)")
    add_data(parser)


def _train(args: argparse.Namespace, options: list[str]) -> None:
    config = configure(args.recipe, args.config, options)
    if args.out is None:
        raise ConfigError(f"--out is missing: where should the run go? E.g. --out {args.recipe}")
    from .. import run

    with progress() as show:
        run.train(config, args.out, overwrite=args.overwrite, progress=show, data_dir=args.data)
    say(f"trained: {args.out}\nnext: weightspace evaluate {args.out}")


def configure(recipe: str, file: Path | None, options: list[str]) -> "Run":
    """The recipe's configuration with the values of a YAML file, then of options, put in.

    Raises:
        ConfigError: for an unknown recipe, file or key.
    """
    from .. import recipes
    from ..run import parse_run
    from ..run.config import read_yaml

    config = recipes.get(recipe)
    if file is not None:
        config = parse_run(_merged(config.model_dump(), read_yaml(file)))
    return configured(config, options, f"train {recipe}", f"Train the recipe '{recipe}'. {_OWN}")


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the entries of ``over``, group by group."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


TRAIN = Verb(
    "train",
    "Train an operator that improves networks of a zoo, and its symmetry-broken twin.",
    "Starts from a recipe and makes its zoo if there is none. Every entry of the configuration is an option, e.g.\n"
    "--train.learning-rate 1e-3; 'weightspace train RECIPE --help' lists them with their defaults. The kind of\n"
    "objective (ce or distill) comes from the recipe or from --config.",
    "weightspace train amortize_digits --out digits-run --train.steps 400",
    _arguments,
    _train,
    passes_on=True,
    resumes=True,
)
