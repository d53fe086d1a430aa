"""``weightspace barrier``: how far the loss rises between two networks, before and after aligning them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigError
from ._architecture import add_architecture, architecture_of
from ._arguments import add_data, add_out, add_permutations_only, add_restarts, whole
from ._console import print_table, progress, say
from ._verb import Verb

if TYPE_CHECKING:
    from ..tasks.merging.barrier import PairBarrier


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", type=Path, metavar="A", help="the network at 0: a file, or a folder of shards")
    parser.add_argument("second", type=Path, metavar="B", help="the network at 1, which is aligned")
    add_architecture(parser, both=True)
    add_out(parser, "folder of the tables (.csv) and the figure (.svg)")
    parser.add_argument(
        "--images",
        default="digits",
        metavar="NAME",
        help="image set that both classify, in the size of the module's input: digits (the default), mnist, "
        "fashion_mnist or cifar10",
    )
    add_data(parser)
    parser.add_argument("--element", type=Path, metavar="FILE", help="a saved alignment of B to compare with")
    parser.add_argument(
        "--points", type=whole(3, 9999), default=21, metavar="N", help="places on the way, odd (default: 21)"
    )
    add_restarts(parser)
    add_permutations_only(parser)


def _run(args: argparse.Namespace, _: list[str]) -> None:
    from ..run.verbs.barrier_files import barrier_files
    from ..run.verbs.working import images_for

    if args.out.is_file() or args.out.suffix:
        raise ConfigError(f"--out {args.out} is the name of a file. Name a folder, e.g. --out barrier")
    if args.points % 2 == 0:
        raise ConfigError(f"--points is {args.points}; give an odd number, so that one is halfway")
    known = architecture_of(args, like=args.first)
    if known.module is None:
        raise ConfigError("a barrier is measured on the module. Add --model PACKAGE.MODULE:FACTORY")
    with progress() as show:
        images = images_for(args.images, known.example, args.data, show)
        found, files = barrier_files(
            args.first,
            args.second,
            known.spec,
            known.module,
            known.example,
            images,
            args.out,
            element=args.element,
            points=args.points,
            restarts=args.restarts,
            permutations_only=args.permutations_only,
            progress=show,
        )
    header = ("B as", "barrier, nats", "over mean", "at the middle", "points", "at the middle", "B: nats", "%")
    first = found.rows[0].row()
    say(f"images: {args.images}, test half; A has {_nats(first['loss_a'])} nats and {_percent(first['accuracy_a'])} %")
    print_table("Barrier: loss over the line between the ends, accuracy below it", header, list(map(_line, found.rows)))
    for row in found.worse_than_naive():
        naive, here = (_nats(pair.row()["midpoint"]) for pair in (found.rows[0], row))
        say(f"worse than naive: {row.method}, {here} against {naive} nats over the line at the middle")
    lowest = min(found.rows, key=lambda pair: float(pair.curve.loss[len(pair.curve.loss) // 2]))
    say(f"lowest at the middle: {lowest.method}")
    say("\n".join(f"written: {file}" for file in files))


def _line(pair: "PairBarrier") -> tuple[str, ...]:
    row = pair.row()
    losses = [_nats(row[name]) for name in ("over_line", "over_mean", "midpoint")]
    points = [_percent(row[name]) for name in ("accuracy_over_line", "accuracy_midpoint")]
    return (pair.method, *losses, *points, _nats(row["loss_b_moved"]), _percent(row["accuracy_b_moved"]))


def _nats(value: object) -> str:
    assert isinstance(value, float), "measured"
    return f"{value:.4f}"


def _percent(value: object) -> str:
    assert isinstance(value, float), "measured"
    return f"{100 * value:.1f}"


BARRIER = Verb(
    "barrier",
    "Measure how far the loss rises between two networks, before and after aligning them.",
    "Goes straight from A to B as given (naive), and with B moved: matched by weights, permutations only or the whole\n"
    "symmetry; matched by what neurons do on training images (features); and with the statistics on the way repaired.\n"
    "Loss in nats and accuracy on the test half of the images; B's own are shown after moving, so that a change of\n"
    "its function would be seen.",
    "weightspace barrier a.safetensors b.safetensors --model my_package.nets:make --input 2,784 --images mnist \\\n"
    "    --data DIR --out barrier",
    _arguments,
    _run,
    writes=("out",),
)
