"""What a person sees: a progress bar on the error stream, tables on the output stream."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

_SECONDS_BETWEEN_LINES = 10.0

Show = Callable[[int, int, str], None]
"""Called with units done, units in all, and what is being done."""


@contextmanager
def progress() -> Iterator[Show]:
    """A function that shows progress: a bar on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task("starting", total=None)
        before = (0, 0)

        def show(done: int, total: int, message: str) -> None:
            nonlocal before
            # Another piece of work has begun: the time that remains is counted anew.
            if total != before[1] or done < before[0]:
                bars.reset(task)
            bars.update(task, completed=done, total=total, description=message)
            before = (done, total)

        yield show


def _lines() -> Show:
    said, last = -_SECONDS_BETWEEN_LINES, ""

    def show(done: int, total: int, message: str) -> None:
        nonlocal said, last
        now = time.monotonic()
        if message == last and now - said < _SECONDS_BETWEEN_LINES:
            return
        said, last = now, message
        print(f"{message}: {done} of {total}", file=sys.stderr, flush=True)

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
