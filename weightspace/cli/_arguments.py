"""Arguments that several verbs share, so that they are called and explained the same everywhere."""

import argparse
from pathlib import Path


def add_out(parser: argparse.ArgumentParser, what: str) -> None:
    """``--out PATH``: where results go."""
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help=what)


def add_data(parser: argparse.ArgumentParser) -> None:
    """``--data DIR``: where image sets lie."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of image sets, DIR/mnist/train.parquet and so on (default: the variable WEIGHTSPACE_DATA; "
        "'digits' needs none)",
    )


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number above 0, got {text!r}")
    return int(text)


def natural(text: str) -> int:
    """A whole number, 0 or above."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"needs a whole number, 0 or above, got {text!r}")
    return int(text)
