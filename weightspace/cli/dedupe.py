"""``weightspace dedupe``: a folder of checkpoints, grouped by the network they hold."""

import argparse
import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigError
from ._architecture import add_architecture, architecture_of, read_params
from ._arguments import add_out
from ._console import print_table, progress, say
from ._verb import Verb

if TYPE_CHECKING:
    from ..run.dedupe import Member

_SHOWN = 10


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of network files (.safetensors, .pt, .pth)")
    add_architecture(parser)
    add_out(parser, "the table of all files, .csv; FILE.cache beside it holds what a later run need not read again")


def _run(args: argparse.Namespace, _: list[str]) -> None:
    from ..files import atomic
    from ..files.folder import find_networks
    from ..run.dedupe import dedupe
    from ..run.one_function import one_function

    if args.out.suffix != ".csv":
        raise ConfigError(f"--out {args.out} is not a .csv file. Type e.g. --out groups.csv")
    files, known = find_networks([args.folder]), architecture_of(args)
    spec = known.spec
    cache = args.out.with_name(f"{args.out.name}.cache")
    with progress() as show:
        members = dedupe(files, lambda file: read_params(file, spec), spec, cache, show)
    number = {first: place for place, first in enumerate(dict.fromkeys(member.first for member in members), 1)}
    alike: dict[Path, Path] = {}
    if known.module is not None:
        alike = one_function(list(number), lambda file: read_params(file, spec), known.module, known.example)
    atomic.write_text(args.out, _table(members, number, alike))
    _show(members, number)
    if alike:
        say(f"groups that compute the same as an earlier one, with no element of the spec between them: {len(alike)}")
    say(f"table: {args.out}")


def _table(members: "Sequence[Member]", number: dict[Path, int], alike: dict[Path, Path]) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(("file", "group", "representative", "roundings", "same_function_as"))
    for member in members:
        found = (number[member.first], member.first, f"{member.roundings:.4g}", alike.get(member.first, ""))
        writer.writerow((member.file, *found))
    return sink.getvalue()


def _show(members: "Sequence[Member]", number: dict[Path, int]) -> None:
    sizes = Counter(member.first for member in members)
    several = sum(size > 1 for size in sizes.values())
    counts = (len(members), len(sizes), several, len(members) - len(sizes))
    header = ("files", "groups", "groups of several", "duplicates")
    print_table("One group for each network", header, [tuple(map(str, counts))])
    largest = [(first, size) for first, size in sizes.most_common(_SHOWN) if size > 1]
    if not largest:
        return
    farthest: dict[Path, float] = {}
    for member in members:
        farthest[member.first] = max(farthest.get(member.first, 0.0), member.roundings)
    rows = [(str(number[first]), str(size), f"{farthest[first]:.2f}", str(first)) for first, size in largest]
    print_table("Largest groups", ("group", "files", "roundings", "representative"), rows)


DEDUPE = Verb(
    "dedupe",
    "Group a folder of checkpoints: one group for each network, whatever its gauge and number type.",
    "Files of one group hold one network up to permutations, signs, scales and rounding: each is compared with the\n"
    "first file of its group, and a permutation, signs and scales that carry one to the other are found\n"
    "(`weightspace same` shows them). Files that agree in their invariants only are not grouped.\n"
    "With --model, a group that computes the same as an earlier one, with no such element between them, names it in\n"
    "the column same_function_as.",
    "weightspace dedupe checkpoints --spec spec.txt --out groups.csv",
    _arguments,
    _run,
)
