"""``weightspace apply`` and ``weightspace finetune``: change networks that lie in safetensors files."""

import argparse
from pathlib import Path

from ._arguments import add_data, add_out
from ._console import print_table, progress, say
from ._verb import Verb


def _apply_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "operator", metavar="RUN_OR_PRETRAINED", help="folder of a run, or the name of a shipped operator"
    )
    parser.add_argument("networks", type=Path, metavar="MODEL", help="a .safetensors file, or a folder of them")
    add_out(parser, "the new file, or the new folder")
    add_data(parser)


def _apply(args: argparse.Namespace, _: list[str]) -> None:
    from .. import run
    from ..run import percent

    with progress() as show:
        rows = run.apply(args.operator, args.networks, args.out, data_dir=args.data, progress=show)
    lines = [
        (
            Path(row.file).name,
            percent(row.accuracy_before),
            percent(row.accuracy_after),
            percent(row.relative_change),
            row.out,
        )
        for row in rows
    ]
    print_table("Networks", ("network", "accuracy before", "after", "change of weights", "written to"), lines)


def _finetune_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("networks", type=Path, metavar="DIR", help="a folder of .safetensors files, or a zoo")
    add_out(parser, "folder of the new networks")
    add_data(parser)


def _finetune(args: argparse.Namespace, _: list[str]) -> None:
    raise SystemExit(2)


APPLY = Verb(
    "apply",
    "Improve one network, or a folder of them, in a single forward pass.",
    "The networks must have the architecture that the operator was trained for. Prints one line a network.",
    "weightspace apply digits-tanh model.safetensors --out improved.safetensors",
    _apply_arguments,
    _apply,
)

FINETUNE = Verb(
    "finetune",
    "Fine-tune a whole folder or zoo of networks at once.",
    "All networks of one architecture are trained side by side. An interrupted command continues.",
    "weightspace finetune networks/ --out tuned/ --optimizer adam --epochs 5",
    _finetune_arguments,
    _finetune,
)
