"""What a person sees: a progress bar on the error stream, tables on the output stream."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

_SECONDS_BEFORE_ANYTHING = 2.0
_SECONDS_BETWEEN_LINES = 10.0

Show = Callable[[int, int, str], None]
"""Called with units done, units in all, and what is being done."""


@contextmanager
def progress() -> Iterator[Show]:
    """A function that shows progress: a bar on a terminal, a line now and then elsewhere; nothing in short work."""
    began = time.monotonic()
    with _bar() if sys.stderr.isatty() else nullcontext(_lines()) as show:

        def after_a_while(done: int, total: int, message: str) -> None:
            if time.monotonic() - began > _SECONDS_BEFORE_ANYTHING:
                show(done, total, message)

        yield after_a_while


@contextmanager
def _bar() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bars = Progress(*columns, console=Console(stderr=True))
    task, before = bars.add_task("", total=None), (0, 0)

    def show(done: int, total: int, message: str) -> None:
        nonlocal before
        bars.start()
        # Another piece of work has begun: the time that remains is counted anew.
        if total != before[1] or done < before[0]:
            bars.reset(task)
        bars.update(task, completed=done, total=total, description=message)
        before = (done, total)

    try:
        yield show
    finally:
        bars.stop()


def _lines() -> Show:
    said, last = 0.0, ""

    def show(done: int, total: int, message: str) -> None:
        nonlocal said, last
        now = time.monotonic()
        if message != last or now - said > _SECONDS_BETWEEN_LINES:
            said, last = now, message
            print(f"{message}: {100 * done // max(total, 1)} %", file=sys.stderr, flush=True)

    return show


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on the output stream; the first column to the left, numbers to the right."""
    from rich.console import Console
    from rich.table import Table

    # Into a file or a pipe the table keeps its full width, so that no number is cut.
    console = Console(width=None if sys.stdout.isatty() else 250, markup=False)
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(header):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def say(text: str) -> None:
    """One line on the output stream."""
    print(text, flush=True)


def megabytes(number: int) -> str:
    """A number of bytes, for people."""
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.2f} MB"
