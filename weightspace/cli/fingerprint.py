"""``weightspace fingerprint``: a name for each network that does not depend on its gauge."""

import argparse
import csv
import io
from pathlib import Path

from ._architecture import Architecture, add_architecture
from ._console import print_table, progress, say
from ._networks import add_networks, by_architecture, end, may_leave_out
from ._verb import Verb


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_networks(parser)
    add_architecture(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table, .csv")


def _run(args: argparse.Namespace, _: list[str]) -> None:
    from ..files import atomic
    from ..files.checkpoint import wide
    from ..files.folder import each
    from ..gauge import fingerprint

    left_out, rows = may_leave_out(args.networks), []
    with progress() as show:
        for known, files in by_architecture(args, left_out):

            def name(file: Path, known: Architecture = known) -> str:
                return fingerprint(wide(known.open(file).load()), known.spec).text

            for file, text in each(files, name, left_out):
                show(len(rows), len(files), "networks")
                rows.append((str(file), text))
    print_table("Fingerprints: equal for all gauges of one network", ("file", "fingerprint"), rows)
    if args.out is not None:
        sink = io.StringIO()
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow(("file", "fingerprint", "left_out"))
        writer.writerows((*row, "") for row in rows)
        writer.writerows((str(other.file), "", other.reason) for other in left_out or ())
        atomic.write_text(args.out, sink.getvalue())
        say(f"table: {args.out}")
    end(left_out)


FINGERPRINT = Verb(
    "fingerprint",
    "Name networks by numbers that no permutation, sign or scale changes.",
    "Files with one fingerprint most likely hold one network; `weightspace same` certifies it for a pair.",
    "weightspace fingerprint runs/*.safetensors --spec spec.txt --out names.csv",
    _arguments,
    _run,
)
