"""``weightspace same``: whether two files hold the same network."""

import argparse
from pathlib import Path

from ._architecture import add_architecture, architecture_of
from ._arguments import whole
from ._console import progress, say
from ._verb import Verb


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "first", type=Path, metavar="A", help="a network file, or a folder of one; formats: docs/files.md"
    )
    parser.add_argument("second", type=Path, metavar="B", help="another one")
    add_architecture(parser)
    parser.add_argument(
        "--bits",
        type=whole(2, 32),
        metavar="N",
        help="parameters that lie on a symmetric grid of N bits (int8: 8) may differ by half a step",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the element that maps A to B, .safetensors, if there is one"
    )


def _run(args: argparse.Namespace, _: list[str]) -> None:
    from ..files import elements
    from ..gauge import same

    if args.out is not None:
        elements.check_name(args.out)
    known = architecture_of(args, like=args.first)
    first, second = (known.open(path).load() for path in (args.first, args.second))
    with progress() as show:
        found = same(
            first, second, known.spec, bits=args.bits, module=known.module, example=known.example, progress=show
        )
    say(str(found))
    if found and found.outputs is not None:
        say(str(found.outputs))
    if found and args.out is not None:
        about = {"maps": f"{args.first.name} to {args.second.name}"}
        elements.save_element(args.out, found.element, known.spec, about)
        say(f"element: {args.out}")
    if not found:
        raise SystemExit(1)


SAME = Verb(
    "same",
    "Say whether two files hold the same network in other numbers.",
    "Looks for the permutation, signs and scales that map A to B, and says how far the numbers then are apart, in\n"
    "roundings of their number types. With --model both are run too: where nothing maps A to B they are one function\n"
    "(and why nothing does) or different (and by how much their outputs).\n"
    "Ends with code 0 for the same network, which the element certifies; 1 for everything else, one function on the\n"
    "inputs tried included; 2 for bad input.",
    "weightspace same a.safetensors b.safetensors --model my_package.nets:make --input 2,64 --out element.safetensors",
    _arguments,
    _run,
)
