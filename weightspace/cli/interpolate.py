"""``weightspace interpolate``: the loss between copies of one network in different gauges, by several methods."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ._arguments import add_data, add_out, whole
from ._console import print_table, progress, say
from ._verb import Verb

if TYPE_CHECKING:
    from ..run.verbs.orbit_rows import PanelRows


def _arguments(parser: argparse.ArgumentParser) -> None:
    from .. import recipes

    parser.add_argument("recipe", metavar="RECIPE", help=f"one of: {', '.join(recipes.orbit_names())}")
    parser.add_argument(
        "--zoo", type=Path, metavar="DIR", help="zoo to take networks from (default: one made in the results' folder)"
    )
    add_out(parser, "folder of the rows, tables (.csv), figure (.svg) and results.json")
    parser.add_argument("--networks", type=whole(1, 10**6), metavar="N", help="networks drawn (default: the recipe's)")
    parser.add_argument("--copies", type=whole(2, 100_000), metavar="N", help="copies of each (default: the recipe's)")
    add_data(parser)


def _run(args: argparse.Namespace, _: list[str]) -> None:
    from .. import recipes
    from ..run.verbs.interpolate import interpolate
    from ..run.verbs.orbit_config import OrbitRun

    config = recipes.orbit(args.recipe)
    changes = {name: getattr(args, name) for name in ("networks", "copies") if getattr(args, name) is not None}
    config = OrbitRun.model_validate(config.model_dump() | changes)
    with progress() as show:
        words = {"zoo": args.zoo, "data_dir": args.data, "overwrite": args.overwrite, "progress": show}
        panels, files = interpolate(config, args.out, **words)
    pairs = len(panels[0].network)
    say(f"networks: {config.networks}, pairs a panel: {pairs}, loss of the networks: {float(panels[0].own.mean()):.4g}")
    _print(panels)
    say("\n".join(f"written: {file}" for file in files))


def _print(panels: "list[PanelRows]") -> None:
    from ..run.verbs.orbit_files import summarized

    header = ("panel", "method", "t = 0", "middle", "(std)", "t = 1", "end moved by", "back in place, %")
    rows, accuracies = [], []
    for panel in panels:
        noise = f"noise {panel.panel.sigma:g}" if panel.panel.sigma else "no noise"
        for method in panel.curves:
            found = summarized(panel, method)
            numbers = [f"{found[name]:.4f}" for name in ("first", "midpoint", "midpoint_std", "last")]
            back = f"{100 * found['in_place']:.1f}"
            name = f"{panel.panel.name}: {panel.panel.kind}, {noise}"
            rows.append((name, method, *numbers, f"{found['end_change']:.0e}", back))
            if "midpoint_accuracy" in found:
                points = (f"{100 * found[f'{place}_accuracy']:.1f}" for place in ("first", "midpoint", "last"))
                accuracies.append((name, method, *points))
    print_table("Loss between copies of one network", header, rows)
    if accuracies:
        print_table("Accuracy (%)", ("panel", "method", "t = 0", "middle", "t = 1"), accuracies)


INTERPOLATE = Verb(
    "interpolate",
    "Measure the loss between copies of one network in different gauges, as given and brought together.",
    "Draws networks from a zoo, moves copies of each within its orbit (permutations, signs, scales), adds noise to\n"
    "one of each pair, and goes straight from one to the other: as given (naive), by the linear assignment of\n"
    "arXiv:2511.12601 from the identity, and by 'weightspace align' (ours). Continues panel by panel. Without --zoo\n"
    "the recipe's own is made first; 'orbit_inr_digits' needs no data.",
    "weightspace interpolate orbit_inr_digits --out orbits",
    _arguments,
    _run,
    resumes=True,
)
