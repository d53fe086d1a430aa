"""``weightspace demo``: the whole path on embedded data, in one folder."""

import argparse

from ._arguments import add_out
from ._console import progress, say
from ._verb import Verb
from .evaluate import print_results


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_out(parser, "folder for the zoo, the operator, the results and the report")


def _demo(args: argparse.Namespace, _: list[str]) -> None:
    from .. import recipes, run

    with progress() as show:
        run.train(recipes.get("demo"), args.out, overwrite=args.overwrite, progress=show)
        results = run.evaluate(args.out, progress=show)
    page = run.report(args.out)
    print_results(results)
    say(f"report: {page}")


DEMO = Verb(
    "demo",
    "Zoo, operator, evaluation and report on embedded digits, in a few minutes.",
    "Trains a few hundred under-trained digit networks, an operator that improves unseen ones in one forward pass,\n"
    "and its symmetry-broken twin; compares them with a constant output and with fine-tuning. No download.",
    "weightspace demo --out demo",
    _arguments,
    _demo,
    resumes=True,
)
