"""``weightspace apply`` and ``weightspace finetune``: change networks that lie in safetensors files."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigError
from ._arguments import add_data, add_out
from ._console import print_table, progress, say
from ._networks import add_networks, end, may_leave_out
from ._options import configured
from ._verb import Verb

if TYPE_CHECKING:
    from ..files.folder import LeftOut

_ONE_OF_MANY = re.compile(r"p\d+")
"""Columns of a table that a terminal has no room for: probabilities of all classes."""

_SHOWN = 20
"""Rows printed of a large folder; all of them lie in the folder's own files."""

_HALF = "Accuracy on the validation half of the test images"


def _apply_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("operator", metavar="RUN_OR_PRETRAINED", help="folder of a run, or the name of a shipped model")
    add_networks(parser)
    add_out(parser, "the new file, or the new folder; for what is read off networks, a .csv or .json file")
    add_data(parser)


def _apply(args: argparse.Namespace, _: list[str]) -> None:
    from .. import run

    left_out = may_leave_out(args.networks)
    if run.reads(args.operator):
        _read(args, left_out)
    else:
        _change(args, left_out)
    end(left_out)


def _read(args: argparse.Namespace, left_out: "list[LeftOut] | None") -> None:
    from .. import run

    with progress() as show:
        words = {"recursive": args.recursive, "left_out": left_out, "progress": show}
        rows = run.read_networks(args.operator, args.networks, args.out, **words)
    shown = [name for name in rows[0] if not _ONE_OF_MANY.fullmatch(name)] if rows else ["file"]
    lines = [tuple(_short(row[name]) for name in shown) for row in rows[:_SHOWN]]
    print_table("What the networks are", tuple(shown), lines)
    say(f"table of {len(rows)} networks: {args.out}")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _change(args: argparse.Namespace, left_out: "list[LeftOut] | None") -> None:
    from .. import run
    from ..tasks import percent

    with progress() as show:
        rows = run.apply(
            args.operator,
            args.networks,
            args.out,
            recursive=args.recursive,
            left_out=left_out,
            data_dir=args.data,
            overwrite=args.overwrite,
            progress=show,
        )
    kind = rows[0].score if rows else ""
    text = (lambda value: f"{100 * value:.3f}") if kind == "error" else percent
    lines = [
        (
            Path(row.file).name,
            *((text(row.before), text(row.after)) if kind else ()),
            percent(row.relative_change),
            row.out,
        )
        for row in rows
    ]
    scored = (f"{kind} before", "after") if kind else ()
    title = f"Networks. {rows[0].title}" if kind else "Networks"
    print_table(title, ("network", *scored, "change of weights", "written to"), lines)
    if any(row.picture for row in rows):
        say("before and after as pictures: each file's name with .png")
    assumed = sum(row.assumed for row in rows)
    if assumed:
        say(f"activation {rows[0].activation!r} is assumed: {assumed} of {len(rows)} files do not name theirs")


def _finetune_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("networks", type=Path, metavar="DIR", help="a folder of .safetensors files, or a zoo")
    # Asking for the options needs no place for results, so a missing one is met in `_finetune`.
    parser.add_argument("--out", type=Path, metavar="PATH", help="folder of the new networks (required)")
    add_data(parser)


def _finetune(args: argparse.Namespace, options: list[str]) -> None:
    from .. import run
    from ..run import FinetuneConfig
    from ..tasks import percent

    about = "Fine-tune all networks of a folder. Besides the options below: --out PATH (required), --data DIR."
    config = configured(FinetuneConfig(), options, f"finetune {args.networks}", about)
    if args.out is None:
        raise ConfigError("--out is missing: where should the new networks go? E.g. --out tuned")
    with progress() as show:
        words = {"data_dir": args.data, "overwrite": args.overwrite, "progress": show}
        rows = run.finetune_folder(args.networks, args.out, config, **words)
    lines = [
        (row.name, percent(row.accuracy_before), "diverged" if row.diverged else percent(row.accuracy_after))
        for row in rows[:_SHOWN]
    ]
    print_table(f"Networks in {args.out}. {_HALF}", ("network", "accuracy before", "after"), lines)
    before, after = (sum(getattr(row, f"accuracy_{when}") for row in rows) / len(rows) for when in ("before", "after"))
    say(f"{len(rows)} networks, mean accuracy {percent(before)} before, {percent(after)} after (validation half)")
    lost = [row.name for row in rows if row.diverged]
    if lost:
        say(
            f"diverged: {len(lost)} of {len(rows)}, the first {lost[0]}. They are written as they were at the end of "
            "their last sound epoch, perhaps as they were read. Lower --learning-rate or --l1, with another --out"
        )
        raise SystemExit(1)


APPLY = Verb(
    "apply",
    "Use a trained metanetwork on one network, or on a folder of them, in a single forward pass.",
    "Operators write new networks (improved classifiers, edited images), functionals a table of what they read off\n"
    "the networks (--out answers.csv or .json: classes with their probabilities, or numbers).\n"
    "The networks must have the architecture and activation that the operator was trained for. Weights alone do not\n"
    "show the activation (ReLU or tanh): a file whose metadata names another one is refused, one that names none is\n"
    "assumed to have the operator's. Prints one line a network, with accuracies on the validation half.",
    "weightspace apply digits-run model.safetensors --out improved.safetensors",
    _apply_arguments,
    _apply,
)

FINETUNE = Verb(
    "finetune",
    "Fine-tune a whole folder or zoo of networks at once.",
    "All networks of one architecture are trained side by side. An interrupted command continues.\n"
    "Accuracies are on the validation half of the test images. 'weightspace finetune DIR --help' lists all options;\n"
    "network files need --images, and --activation unless their metadata names it.",
    "weightspace finetune networks/ --out tuned --images digits --activation tanh --epochs 5",
    _finetune_arguments,
    _finetune,
    passes_on=True,
    resumes=True,
)
