"""``weightspace align`` and ``weightspace move``: networks brought near to others, and moved by what was found."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ._architecture import add_architecture, architecture_of
from ._arguments import add_out, add_permutations_only, add_restarts, add_seed
from ._console import megabytes, print_table, progress, say
from ._networks import add_networks, end, may_leave_out
from ._verb import Verb

if TYPE_CHECKING:
    from ..files.checkpoint import Checkpoint
    from ..spec import SymmetrySpec

_FILE = "a network file, or a folder of one, also in shards; formats: docs/files.md"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", type=Path, metavar="A", help=f"the network to align to: {_FILE}")
    parser.add_argument("second", type=Path, metavar="B", help="the network to move, of the same architecture")
    add_architecture(parser, both=True)
    add_out(parser, "where B goes once it is moved: a file, or a folder for shards like those of B")
    parser.add_argument(
        "--element", type=Path, metavar="FILE", help="write what moves B, .safetensors, for 'weightspace move'"
    )
    add_restarts(parser)
    add_seed(parser, "seed of the random starts")
    add_permutations_only(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would be done and the memory it takes; end")


def _align(args: argparse.Namespace, _: list[str]) -> None:
    from ..files.writer import target
    from ..run.verbs.alignment import align_files

    known = architecture_of(args, like=args.first)
    spec = known.spec
    if args.dry_run:
        checkpoints = [known.open(path) for path in (args.first, args.second)]
        target(args.out, checkpoints[1], [args.first, args.second])
        _print_plan(spec, checkpoints, args)
        return
    with progress() as show:
        done = align_files(
            args.first,
            args.second,
            spec,
            args.out,
            element=args.element,
            module=known.module,
            example=known.example,
            restarts=args.restarts,
            seed=args.seed,
            permutations_only=args.permutations_only,
            progress=show,
        )
    found = done.found
    rows = [
        (name + (", nearest" if name == found.won else ""), f"{float(far):.6g}") for name, far in found.starts.items()
    ]
    rows.append(("after descent", f"{float(found.distance):.6g}"))
    print_table("Distance from A, relative, in the balanced gauge", ("start", "distance"), rows)
    say(f"distance of the numbers as stored, relative: {done.before:.4g} before, {done.after:.4g} after")
    if done.written is None:
        say("certificate: not measured, since --spec alone has no module to run. Add --model PACKAGE.MODULE:FACTORY")
    else:
        say(
            f"certificate: largest output difference of B and the file written, relative: {done.written:.2g} "
            f"({found.output_difference:.2g} before rounding to its number types)"
        )
    say(f"aligned: {args.out}")
    if args.element is not None:
        say(f"element: {args.element}")


def _print_plan(spec: "SymmetrySpec", checkpoints: "list[Checkpoint]", args: argparse.Namespace) -> None:
    from ..run.verbs.alignment import matching_bytes
    from ..spec import num_parameters

    rows = [(space.name, str(space.size), str(space)) for space in spec.free]
    print_table("Neuron spaces to match", ("space", "neurons", "may be moved by"), rows)
    say(f"parameters: {num_parameters(spec):,} in {len(spec.params)} tensors")
    for checkpoint in checkpoints:
        say(f"read: {checkpoint.path}, {len(checkpoint.parts)} file(s), {megabytes(checkpoint.num_bytes)}")
    say(f"memory: about {megabytes(matching_bytes(spec, checkpoints))} besides Python and torch")
    say(f"write: {args.out}{f' and {args.element}' if args.element else ''}\nNothing was written (--dry-run).")


ALIGN = Verb(
    "align",
    "Move a network to where it is nearest to another one; it computes the same.",
    "Finds the order, signs and scales of B's neurons in which its numbers are nearest to A's, proves on the module\n"
    "that the outputs stay, and writes B with names, number types and metadata kept. If the outputs change (the spec\n"
    "is wrong for the module), nothing is written. --spec with --model tries that spec on the module.",
    "weightspace align a.safetensors b.safetensors --model my_package.nets:make --input 2,64 --out aligned.safetensors",
    _arguments,
    _align,
)


def _move_arguments(parser: argparse.ArgumentParser) -> None:
    add_networks(parser)
    parser.add_argument(
        "--by",
        type=Path,
        action="append",
        required=True,
        metavar="ELEMENT",
        help="an element; repeated, one after another",
    )
    parser.add_argument("--inverse", action="store_true", help="undo all of them together")
    add_out(parser, "where the moved network goes: a file, or a folder for shards like those read")
    parser.add_argument("--element", type=Path, metavar="FILE", help="write the one element that does the same")


def _move(args: argparse.Namespace, _: list[str]) -> None:
    from ..files.folder import each, find_networks
    from ..files.writer import targets
    from ..run.verbs.alignment import move_file

    files, left_out = find_networks(args.networks, recursive=args.recursive), may_leave_out(args.networks)
    place_of = dict(zip(files, targets(files, args.networks, args.out), strict=True))
    with progress() as show:

        def move(file: Path) -> "SymmetrySpec":
            return move_file(file, args.by, place_of[file], undo=args.inverse, element=args.element, progress=show)

        moved = list(each(files, move, left_out))
    for file, spec in moved:
        say(f"architecture: {spec}\nmoved: {place_of[file]}")
    if args.element is not None and moved:
        say(f"element: {args.element}")
    end(left_out)


MOVE = Verb(
    "move",
    "Apply, undo or compose saved alignments: the same network in another gauge.",
    "Elements are the small files that 'weightspace align --element' writes. They know their architecture; the\n"
    "network is read and written piece by piece.",
    "weightspace move c.safetensors --by c_to_b.safetensors --by b_to_a.safetensors --out c_at_a.safetensors",
    _move_arguments,
    _move,
)
