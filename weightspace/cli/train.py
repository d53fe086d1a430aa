"""``weightspace train``: a recipe, changed by a YAML file and by options made from the configuration itself."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import ConfigError
from .._factory import load_factory
from ._arguments import add_data
from ._console import progress, say
from ._options import configured
from ._verb import Verb

if TYPE_CHECKING:
    from ..run.config import Run

_OWN = "Besides the options below: --out PATH (required), --config FILE.yaml, --data DIR."


def _arguments(parser: argparse.ArgumentParser) -> None:
    from .. import recipes

    names = ", ".join(recipes.names())
    parser.add_argument("recipe", metavar="RECIPE", help=f"one of: {names}; or package.module:function of your own")
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

    config = load_factory(recipe, "RECIPE")() if ":" in recipe else recipes.get(recipe)
    if file is not None:
        config = parse_run(_merged(config.model_dump(), read_yaml(file)))
    kinds, options = _kinds(options)
    if kinds:
        config = parse_run(_merged(config.model_dump(), kinds))
    return configured(config, options, f"train {recipe}", f"Train the recipe '{recipe}'. {_OWN}")


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the entries of ``over``, group by group; a group of another kind takes the place of the old one."""
    if over.get("kind", base.get("kind")) != base.get("kind"):
        return dict(over)
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _kinds(options: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The kinds that options ask for, group by group, and the options that are left: what else a group has follows."""
    found: dict[str, Any] = {}
    left: list[str] = []
    words = iter(options)
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name.endswith(".kind"):
            left.append(word)
            continue
        *outer, inner, _ = name.split(".")
        group = found
        for part in outer:
            group = group.setdefault(part, {})
        group[inner] = group.get(inner, {}) | {"kind": value if equals else next(words, "")}
    return found, left


TRAIN = Verb(
    "train",
    "Train a metanetwork on the networks of a zoo: to improve them, or to read something off them.",
    "Starts from a recipe and makes its zoo if there is none. Every entry of the configuration is an option, e.g.\n"
    "--train.learning-rate 1e-3; 'weightspace train RECIPE --help' lists them with their defaults. --model.kind NAME\n"
    "takes another family of metanetworks, with its own entries; --task.objective.kind distill another objective.\n"
    "Twins of the family (its parts without the symmetry) are trained beside it.",
    "weightspace train amortize_digits --out digits-run --train.steps 400",
    _arguments,
    _train,
    passes_on=True,
    resumes=True,
)
