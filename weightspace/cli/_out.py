"""What a verb may write over: nothing that is there already, unless ``--overwrite`` says so."""

import argparse
from pathlib import Path

from .._errors import ConfigError

WRITTEN = ("out", "element", "draw")
"""Arguments that name what most verbs write."""


def add_overwrite(parser: argparse.ArgumentParser, *, resumes: bool) -> None:
    """``--overwrite``, for a parser that has ``--out``."""
    if "--out" in parser._option_string_actions:
        what = "results of another configuration or other inputs there" if resumes else "what is there already"
        parser.add_argument("--overwrite", action="store_true", help=f"replace {what} (default: refuse)")


def check_free(args: argparse.Namespace, names: tuple[str, ...]) -> None:
    """Refuse a place that is taken, unless ``--overwrite`` is given and it is a file.

    Raises:
        ConfigError: naming the option to change.
    """
    for name in names:
        path: Path | None = getattr(args, name, None)
        if path is None:
            continue
        if path.is_dir():
            held = next(iter(sorted(path.iterdir())), None)
            if held is not None and not args.overwrite:
                raise ConfigError(f"--{name} {path} holds files already, e.g. {held.name}. {_way_on(name)}")
        elif (path.exists() or path.is_symlink()) and not args.overwrite:
            raise ConfigError(f"--{name} {path} is there already. {_way_on(name)}")


def _way_on(name: str) -> str:
    return f"Add --overwrite to replace what is in the way, or choose another --{name}."
