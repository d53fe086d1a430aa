"""``weightspace evaluate`` and ``weightspace report``: the table of a run, and the page about it."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._arguments import add_data
from ._console import print_table, progress, say
from ._verb import Verb


def _run_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="folder made by 'weightspace train'")


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    _run_argument(parser)
    add_data(parser)


def _evaluate(args: argparse.Namespace, _: list[str]) -> None:
    from .. import run

    with progress() as show:
        results = run.evaluate(args.run, progress=show, data_dir=args.data)
    page = run.report(args.run)
    print_results(results)
    say(f"table: {args.run / 'results.md'}\nreport: {page}")


def _report(args: argparse.Namespace, _: list[str]) -> None:
    from .. import run

    page = run.report(args.run)
    say(f"report: {page}")


def print_results(results: Mapping[str, Any]) -> None:
    """The headline and both tables of a run."""
    from ..run import headline, tables

    for table in tables(results):
        print_table(table.title, table.header, table.rows)
    say(headline(results))


EVALUATE = Verb(
    "evaluate",
    "Compare a trained operator with its controls on unseen networks; writes table and report.",
    "Every method is kept as soon as it is computed, so an interrupted evaluation continues. Writes results.json,\n"
    "results.md and report.html into the run's folder.",
    "weightspace evaluate digits-run",
    _evaluate_arguments,
    _evaluate,
)

REPORT = Verb(
    "report",
    "Write report.html of an evaluated run again.",
    "Reads the run's folder only; what was not computed stands there as 'not run'. The page opens without a network.",
    "weightspace report digits-run",
    _run_argument,
    _report,
)
