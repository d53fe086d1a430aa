"""``weightspace inspect``: the symmetry of an architecture, and how large it is."""

import argparse
from pathlib import Path

from ._architecture import add_architecture, read_params, spec_of
from ._console import say
from ._verb import Verb


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "network", type=Path, nargs="?", metavar="FILE", help="a network file: what its weights leave open"
    )
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
    from ..gauge import canonicalize, dimension
    from ..run.draw_spec import check_picture, draw_spec
    from ..spec import to_text

    if args.draw is not None:
        check_picture(args.draw)
    spec = spec_of(args, on_unknown=args.on_unknown)
    params = None if args.network is None else read_params(args.network, spec)
    say(to_text(spec))
    say(str(dimension(spec)))
    if params is not None:
        types = ", ".join(sorted({str(value.dtype).removeprefix("torch.") for value in params.values()}))
        say(f"{args.network}: {types}; canonical form: {canonicalize(params, spec)[2]}")
    if args.out is not None:
        atomic.write_text(args.out, to_text(spec))
        say(f"spec: {args.out}")
    if args.draw is not None:
        draw_spec(spec, args.draw)
        say(f"picture: {args.draw}")


INSPECT = Verb(
    "inspect",
    "Show which changes of a network's weights change nothing.",
    "Prints the neuron spaces, the label of every parameter axis (docs/notation.md), and the degrees of freedom.\n"
    "The symmetry is tried on the network before it is shown; what cannot be read is refused by name.",
    "weightspace inspect --model my_package.nets:make --input 2,3,32,32 --out spec.txt",
    _arguments,
    _run,
)
