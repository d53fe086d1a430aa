"""Arguments that several verbs share, so that they are called and explained the same everywhere."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

_SEED = 2**63 - 1
_COPIES = 10_000
_RESTARTS = 10_000


def add_out(parser: argparse.ArgumentParser, what: str) -> None:
    """``--out PATH``: where results go."""
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help=what)


def add_permutations_only(parser: argparse.ArgumentParser) -> None:
    """``--permutations-only``: what matchers do that know no signs and scales."""
    parser.add_argument(
        "--permutations-only", action="store_true", help="match over the order of neurons alone: no signs, no scales"
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """``--data DIR``: where image sets lie."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of image sets, DIR/mnist/train.parquet and so on (default: the variable WEIGHTSPACE_DATA; "
        "'digits' needs none)",
    )


def add_restarts(parser: argparse.ArgumentParser) -> None:
    """``--restarts N``: of an alignment."""
    parser.add_argument(
        "--restarts", type=whole(0, _RESTARTS), default=0, metavar="N", help="random starts besides the usual three"
    )


def add_seed(parser: argparse.ArgumentParser, of: str) -> None:
    """``--seed N``: of what is drawn."""
    parser.add_argument("--seed", type=whole(0, _SEED), default=0, metavar="N", help=f"{of} (default: 0)")


def whole(least: int = 1, most: int = 10**9) -> Callable[[str], int]:
    """What reads a whole number from ``least`` to ``most``."""

    def read(text: str) -> int:
        # Python reads no number of thousands of digits.
        if not (text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"needs a whole number from {least} to {most}, got {shortened(text)}")
        return int(text)

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """What reads a number from ``least`` to ``most``."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"needs a number from {least:g} to {most:g}, got {shortened(text)}")
        return value

    return read


def shortened(text: str) -> str:
    """A word of the command line as a message shows it."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
