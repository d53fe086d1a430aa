"""Networks as words of a command line: files, folders, patterns; and what is said of those that cannot be used."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ._architecture import Architecture, architecture_of, check_activation
from ._console import say

if TYPE_CHECKING:
    from ..files.folder import LeftOut

_SHOWN = 20
"""Lines printed of those left out."""


def add_networks(parser: argparse.ArgumentParser, *, name: str = "networks", needed: bool = True) -> None:
    """The networks that a verb reads, and ``--recursive``."""
    parser.add_argument(
        name,
        type=Path,
        nargs="+" if needed else "*",
        metavar="NETWORK",
        help="network files, folders of them or of shards, or patterns in quotes; formats: docs/files.md",
    )
    add_recursive(parser)


def add_recursive(parser: argparse.ArgumentParser) -> None:
    """``--recursive``: folders inside folders count."""
    parser.add_argument("--recursive", action="store_true", help="look into folders inside folders, too")


def first_network(paths: list[Path], *, recursive: bool) -> Path:
    """The first network that the paths mean: what is not said of all is read from it."""
    from ..files.folder import find_networks

    return find_networks(paths, recursive=recursive)[0]


def by_architecture(
    args: argparse.Namespace, left_out: "list[LeftOut] | None"
) -> "list[tuple[Architecture, list[Path]]]":
    """The networks named on the command line, with the architecture of each group of them.

    There is one, unless ``--activation`` leaves shapes to the files.
    """
    from ..files.checkpoint import open_checkpoint
    from ..files.folder import each, find_networks

    files = find_networks(args.networks, recursive=args.recursive)
    if args.activation is None:
        return [(architecture_of(args), files)]
    check_activation(args)
    known: dict[object, Architecture] = {}
    groups: dict[object, list[Path]] = {}

    def named(file: Path) -> object:
        shapes = tuple(open_checkpoint(file).shapes.items())
        if shapes not in known:
            known[shapes] = architecture_of(args, like=file)
        return shapes

    for file, shapes in each(files, named, left_out):
        groups.setdefault(shapes, []).append(file)
    return [(known[shapes], group) for shapes, group in groups.items()]


def may_leave_out(paths: list[Path]) -> "list[LeftOut] | None":
    """What gets the networks that cannot be used; ``None`` where one file is named, which has to be right."""
    return (
        None if len(paths) == 1 and not paths[0].is_dir() and not any(sign in str(paths[0]) for sign in "*?[") else []
    )


def end(left_out: "list[LeftOut] | None") -> None:
    """Say what was left out, if anything was, and leave with code 1."""
    if not left_out:
        return
    for other in left_out[:_SHOWN]:
        say(f"left out: {other.file}: {other.reason}")
    if len(left_out) > _SHOWN:
        say(f"left out: {len(left_out) - _SHOWN} more")
    raise SystemExit(1)
