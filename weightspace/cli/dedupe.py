"""``weightspace dedupe``: a folder of checkpoints, grouped by the network they hold."""

import argparse
import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigError
from ._architecture import Architecture, add_architecture
from ._arguments import add_out
from ._console import print_table, progress, say
from ._networks import add_networks, by_architecture, end, may_leave_out
from ._verb import Verb

if TYPE_CHECKING:
    from .._types import Params
    from ..files.folder import LeftOut
    from ..run.verbs.dedupe import Member

_SHOWN = 10


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_networks(parser)
    add_architecture(parser)
    add_out(parser, "the table of all files, .csv; FILE.cache beside it holds what a later run need not read again")


def _run(args: argparse.Namespace, _: list[str]) -> None:
    from ..files import atomic
    from ..run.verbs.dedupe import dedupe
    from ..run.verbs.one_function import one_function

    if args.out.suffix != ".csv":
        raise ConfigError(f"--out {args.out} is not a .csv file. Type e.g. --out groups.csv")
    atomic.remove_leftovers(args.out.parent, args.out.name)  # of its cache as well
    left_out = may_leave_out(args.networks)
    members: list[tuple[Member, str]] = []
    alike: dict[Path, Path] = {}
    with progress() as show:
        known = by_architecture(args, left_out)
        for place, (architecture, files) in enumerate(known):
            cache = args.out.with_name(f"{args.out.name}.cache{place or ''}")

            def read(file: Path, architecture: Architecture = architecture) -> "Params":
                return architecture.open(file).load()

            found = dedupe(files, read, architecture.spec, cache, show, left_out)
            members += [(member, str(architecture.spec)) for member in found]
            if architecture.module is not None:
                firsts = list(dict.fromkeys(member.first for member in found))
                alike |= one_function(firsts, read, architecture.module, architecture.example)
    number = {first: place for place, first in enumerate(dict.fromkeys(member.first for member, _ in members), 1)}
    atomic.write_text(args.out, _table(members, number, alike, left_out or []))
    if len(known) > 1:
        sizes = Counter(text for _, text in members)
        print_table("Architectures", ("spec", "files"), [(text, str(size)) for text, size in sizes.items()])
    _show([member for member, _ in members], number)
    if alike:
        say(f"groups that compute the same as an earlier one, with no element of the spec between them: {len(alike)}")
    say(f"table: {args.out}")
    end(left_out)


def _table(
    members: "Sequence[tuple[Member, str]]",
    number: dict[Path, int],
    alike: dict[Path, Path],
    left_out: "Sequence[LeftOut]",
) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(("file", "group", "representative", "roundings", "same_function_as", "architecture", "left_out"))
    for member, text in members:
        found = (number[member.first], member.first, f"{member.roundings:.4g}", alike.get(member.first, ""))
        writer.writerow((member.file, *found, text, ""))
    writer.writerows((other.file, "", "", "", "", "", other.reason) for other in left_out)
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
