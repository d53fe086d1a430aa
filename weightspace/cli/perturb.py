"""``weightspace perturb``: orbit copies of a network, as files."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigError
from ._architecture import add_architecture, architecture_of
from ._arguments import add_out, add_seed, number, whole
from ._console import progress, say
from ._verb import Verb

if TYPE_CHECKING:
    from ..run.verbs.perturbed import Source

KINDS = ("permutations", "signs", "scales", "all")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "network", type=Path, metavar="NETWORK", help="a network file, a folder of shards, or (with --row) a zoo"
    )
    add_architecture(parser, both=True)
    parser.add_argument("--row", type=whole(0), metavar="N", help="row of the zoo, which knows its architecture")
    add_out(parser, "a new folder: copies, and their elements in elements/")
    parser.add_argument(
        "--kind", choices=KINDS, default="all", help="what moves (default: all that the architecture allows)"
    )
    parser.add_argument("--num", type=whole(1, 10_000), default=1, metavar="N", help="copies (default: 1)")
    parser.add_argument(
        "--sigma",
        type=number(0.0, 1e6),
        default=0.0,
        metavar="S",
        help="noise on weights and biases (default: none)",
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--scale-std",
        type=number(0.0, 100.0),
        default=0.5,
        metavar="S",
        help="of log scales (default: 0.5)",
    )
    sizes.add_argument(
        "--max-scale", type=number(1.0, 1e9), metavar="M", help="scales log-uniform in [1/M, M] instead of log-normal"
    )
    add_seed(parser, "of copies and noise")


def _run(args: argparse.Namespace, _: list[str]) -> None:
    from ..run.verbs.perturbed import perturb_files

    source = _source(args)
    with progress() as show:
        worst = perturb_files(
            source,
            args.out,
            args.kind,
            num=args.num,
            sigma=args.sigma,
            seed=args.seed,
            scale_std=args.scale_std,
            max_scale=args.max_scale,
            overwrite=args.overwrite,
            progress=show,
        )
    say(f"architecture: {source.spec}")
    if worst is None:
        say("certificate: not measured, since --spec alone has no module to run. Add --model PACKAGE.MODULE:FACTORY")
    else:
        noise = ", before the noise" if args.sigma else ""
        say(f"certificate: largest output difference of a copy, relative{noise}: {worst:.2g}")
    say(f"copies: {args.out}, {args.num}; what moved them: {args.out / 'elements'}")


def _source(args: argparse.Namespace) -> "Source":
    from ..run.verbs.perturbed import of_file, of_zoo

    if args.row is not None:
        if args.model is not None or args.spec is not None:
            raise ConfigError("a zoo knows its architecture. Leave --model and --spec out, or --row")
        return of_zoo(args.network, args.row)
    if (args.network / "zoo.json").is_file():
        raise ConfigError(f"{args.network} is a zoo. Say which network of it, e.g. --row 0")
    known = architecture_of(args, like=args.network)
    return of_file(args.network, known.spec, known.module, known.example)


PERTURB = Verb(
    "perturb",
    "Write copies of a network in other gauges: other numbers, the same function.",
    "Moves the neurons of each copy by a random element of its symmetry: their order, their signs, their positive\n"
    "scales, or all of it; --sigma then adds noise. With --model, or from a zoo, the outputs before the noise are\n"
    "compared, and nothing is written if they differ. 'weightspace move COPY --by ELEMENT --inverse' undoes a copy.",
    "weightspace perturb zoos/inr_digits --row 3 --kind permutations --num 8 --out copies",
    _arguments,
    _run,
)
