"""``weightspace audit``: run the laws of the gauge against a metanetwork of the reader's own."""

import argparse
from pathlib import Path
from typing import Any

from .._errors import ConfigError
from .._factory import load_factory
from ._architecture import read_spec
from ._console import print_table, progress, say
from ._verb import Verb


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        required=True,
        metavar="PACKAGE.MODULE:FACTORY",
        help="a function that makes the metanetwork from a spec",
    )
    parser.add_argument(
        "--spec", required=True, type=Path, metavar="FILE", help="text of the spec of the networks it reads"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results, .json")


def _run(args: argparse.Namespace, _: list[str]) -> None:
    from ..audit import HEADER, audit
    from ..files import atomic
    from ..spec import to_text

    if args.out is not None and args.out.suffix != ".json":
        raise ConfigError(f"--out {args.out} is not a .json file. Type e.g. --out audit.json")
    spec = read_spec(args.spec)
    factory = load_factory(args.model)
    try:
        metanetwork: Any = factory(spec)
    except Exception as error:
        raise ConfigError(
            f"--model {args.model} fails on this spec ({type(error).__name__}: {error}). "
            "It is called with a weightspace.SymmetrySpec and returns the metanetwork."
        ) from error
    if not callable(metanetwork):
        raise ConfigError(f"--model {args.model} returns {type(metanetwork).__name__}. Return the metanetwork.")
    with progress() as show:
        report = audit(metanetwork, spec, progress=show)
    if args.out is not None:
        atomic.write_json(args.out, {"model": args.model, "spec": to_text(spec), **report.to_json()})
    law = "invariant functional" if report.kind == "functional" else "equivariant operator"
    print_table(f"{args.model} as an {law}: errors relative to the spread between networks", HEADER, report.cells())
    for failure in report.failures:
        say(f"fails: {failure}")
    say("all laws hold" if report.passed else "not every law holds")
    if args.out is not None:
        say(f"table: {args.out}")
    if not report.passed:
        raise SystemExit(1)


AUDIT = Verb(
    "audit",
    "Check that a metanetwork of your own respects the symmetries of the networks it reads.",
    "FACTORY(spec) returns the metanetwork, a function of stacked parameters (dict of name to [b, *shape]) to vectors\n"
    "[b, ...] or to stacked parameters. Each space is permuted, flipped in sign and rescaled by itself, in float64\n"
    "and float32; errors are relative to the spread between networks. Controls: a reader without symmetry sees the\n"
    "same changes, and what the spec does not allow must be noticed. Ends with code 1 if a law does not hold.",
    "weightspace audit --model my_package.nets:make --spec spec.txt --out audit.json",
    _arguments,
    _run,
)
