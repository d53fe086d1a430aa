"""``weightspace inspect``: the symmetry of an architecture, and how large it is."""

import argparse
from pathlib import Path

from ._architecture import Architecture, add_architecture, architecture_of
from ._console import say
from ._networks import add_networks, end, may_leave_out
from ._verb import Verb


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_networks(parser, needed=False)
    add_architecture(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the spec as text, for --spec of other verbs")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="draw spaces and layers, .svg or .png")
    parser.add_argument(
        "--on-unknown",
        choices=("refuse", "pin"),
        default="refuse",
        help="what to do at an operation that cannot be read: stop (default), or leave its neurons in place",
    )


def _run(args: argparse.Namespace, _: list[str]) -> None:
    from ..files import atomic
    from ..files.folder import each, find_networks
    from ..gauge import dimension
    from ..run.verbs.draw_spec import check_picture, draw_spec
    from ..spec import to_text

    if args.draw is not None:
        check_picture(args.draw)
    files, left_out = find_networks(args.networks, recursive=args.recursive), may_leave_out(args.networks)
    known = architecture_of(args, like=files[0] if files else None, on_unknown=args.on_unknown)
    lines = [line for _, line in each(files, lambda file: _described(file, known), left_out)]
    say(to_text(known.spec))
    say(str(dimension(known.spec)))
    for line in lines:
        say(line)
    if args.out is not None:
        atomic.write_text(args.out, to_text(known.spec))
        say(f"spec: {args.out}")
    if args.draw is not None:
        draw_spec(known.spec, args.draw)
        say(f"picture: {args.draw}")
    end(left_out)


def _described(file: Path, known: Architecture) -> str:
    """A line on one network: number types, what its weights leave open, and what else its file holds."""
    from ..files.checkpoint import wide
    from ..gauge import canonicalize

    network = known.open(file)
    types = ", ".join(sorted({str(dtype).removeprefix("torch.") for dtype in network.dtypes.values()}))
    beside = f"; left out: {', '.join(network.left_out)}" if network.left_out else ""
    left_open = "; ".join(str(canonicalize(wide(network.load()), known.spec)[2]).splitlines())
    return f"{file}: {types}; canonical form: {left_open}{beside}"


INSPECT = Verb(
    "inspect",
    "Show which changes of a network's weights change nothing.",
    "Prints the neuron spaces, the label of every parameter axis (docs/notation.md), and the degrees of freedom.\n"
    "The symmetry is tried on the network before it is shown; what cannot be read is refused by name.",
    "weightspace inspect --model my_package.nets:make --input 2,3,32,32 --out spec.txt",
    _arguments,
    _run,
)
