"""``weightspace canonicalize``: one network of each orbit, as files."""

import argparse
from pathlib import Path

from ._architecture import add_architecture, architecture_of
from ._arguments import add_out
from ._console import print_table, progress, say
from ._networks import add_networks, end, first_network, may_leave_out
from ._verb import Verb

_SHOWN = 20
"""Rows printed of a large folder; all of them lie in its file."""

_SPACES = 4
"""Spaces with something left open that the table names."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_networks(parser)
    add_architecture(parser)
    add_out(parser, "the new file, or the new folder")
    parser.add_argument(
        "--scale",
        choices=("norm", "balanced", "l1"),
        default="norm",
        help="positive scales: fan-ins of norm 1 (default), smallest sum of squares, smallest sum of magnitudes",
    )
    parser.add_argument(
        "--element", type=Path, metavar="PATH", help="write the element as well, .safetensors or folder"
    )


def _run(args: argparse.Namespace, _: list[str]) -> None:
    from ..run.verbs.canonicalize import TABLE, canonicalize_files

    known = architecture_of(args, like=first_network(args.networks, recursive=args.recursive))
    left_out = may_leave_out(args.networks)
    with progress() as show:
        rows = canonicalize_files(
            args.networks,
            args.out,
            known.spec,
            recursive=args.recursive,
            left_out=left_out,
            ties=known.ties,
            scale=args.scale,
            element_out=args.element,
            difference=known.difference,
            progress=show,
        )
    gaps = [row.difference for row in rows if row.difference is not None]
    lines = [
        (
            Path(row.file).name,
            _short(row.left_open),
            "-" if row.difference is None else f"{row.difference:.1e}",
            row.out,
        )
        for row in rows[:_SHOWN]
    ]
    print_table(f"Canonical networks, scale {args.scale}", ("network", "left open", "outputs", "written to"), lines)
    if gaps:
        say(f"largest relative output difference: {max(gaps):.1e}, rounding of the numbers written included")
    if len(rows) == 1 and lines[0][1] != rows[0].left_open:
        say(f"left open: {rows[0].left_open}")
    if len(rows) + len(left_out or []) > 1:
        unique = sum(row.left_open == "unique" for row in rows)
        say(f"{len(rows)} networks, nothing left open in {unique}; all rows: {args.out / TABLE}")
    end(left_out)


def _short(left_open: str) -> str:
    spaces = left_open.split("; ")
    return (
        left_open if len(spaces) <= _SPACES else f"{'; '.join(spaces[:_SPACES])}; {len(spaces) - _SPACES} spaces more"
    )


CANONICALIZE = Verb(
    "canonicalize",
    "Write the one network of its orbit that all its copies in other gauges share.",
    "Scales, signs and order of the neurons are chosen by the weights alone; names, number types and metadata stay.\n"
    "What the weights do not decide is named: dead neurons, unknown signs, ties. With --model the outputs before and\n"
    "after are compared, and nothing is written that computes something else.",
    "weightspace canonicalize model.safetensors --model my_package.nets:make --input 2,64 --out canonical.safetensors",
    _arguments,
    _run,
)
