"""Tables of text for the terminal, Markdown and HTML alike, so that a number looks the same wherever it stands.

A cell that was not computed says *not run*; a dash means that the column has no meaning for the method.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

Row = Mapping[str, Any]
"""One method of ``results.json``."""

NOT_RUN = "not run"
NONE = "-"


@final
@dataclass(frozen=True)
class Column:
    """A column title, what it measures (with units), and the text of its cell for a finished row."""

    title: str
    meaning: str
    cell: Callable[[Row], str]


@final
@dataclass(frozen=True)
class Table:
    """A table of text: ``header`` names the columns, ``meanings`` explain them, ``rows`` start with the method,
    and ``notes`` say what else a reader has to know."""

    title: str
    header: tuple[str, ...]
    meanings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def is_done(row: Row) -> bool:
    """Whether the row holds numbers."""
    return row.get("status") == "done"


def label(row: Row) -> str:
    """The row's name for people."""
    return row.get("label") or row["method"]


def percent(fraction: float | None) -> str:
    """A fraction in [0, 1] as a percentage with one decimal."""
    return NONE if fraction is None else f"{100 * fraction:.1f} %"


def seconds(value: float | None) -> str:
    """Seconds in the unit that suits their size."""
    if value is None:
        return NONE
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs" if value > 0 else "0 s"


def markdown(tables: Sequence[Table]) -> str:
    """The tables as Markdown, each followed by what its columns mean."""
    parts = [f"### {table.title}\n\n{_pipes(table)}\n\n{_legend(table)}\n{_listed(table.notes)}" for table in tables]
    return "\n".join(parts)


def table_of(title: str, columns: Sequence[Column], rows: Sequence[Row], notes: Sequence[str] = ()) -> Table:
    """One line for each method, one cell for each column."""
    return Table(
        title,
        ("method", *(column.title for column in columns)),
        ("", *(column.meaning for column in columns)),
        tuple((label(row), *(column.cell(row) if is_done(row) else NOT_RUN for column in columns)) for row in rows),
        tuple(notes),
    )


def _pipes(table: Table) -> str:
    lines = [table.header, ("---", *("---:" for _ in table.header[1:])), *table.rows]
    return "\n".join(f"| {' | '.join(_marked(line))} |" for line in lines)


def _marked(line: tuple[str, ...]) -> Iterator[str]:
    for cell in line:
        yield f"*{cell}*" if cell == NOT_RUN else cell.replace("|", "\\|")


def _legend(table: Table) -> str:
    named = zip(table.header[1:], table.meanings[1:], strict=True)
    return "\n".join(f"- **{title}**: {meaning}" for title, meaning in named)


def _listed(notes: tuple[str, ...]) -> str:
    return "".join(f"\n{note}\n" for note in notes)


def interval(key: str, number: Callable[[float], str]) -> Callable[[Row], str]:
    """Cell of a ``{"mean", "low", "high"}`` value: mean, then its interval."""

    def cell(row: Row) -> str:
        value = row.get(key)
        if not value or value.get("mean") is None:
            return NONE
        text = number(value["mean"])
        if value.get("low") is None or value.get("high") is None:
            return text
        return f"{text} [{number(value['low'])}, {number(value['high'])}]"

    return cell


def hundred(fraction: float) -> str:
    """A fraction as percent, without the sign."""
    return f"{100 * fraction:.1f}"


def three(value: float) -> str:
    """A number with three decimals."""
    return f"{value:.3f}"


def needs_data(row: Row) -> str:
    """Whether a method needs data to be applied."""
    needs = row.get("needs_data")
    return NONE if needs is None else "yes" if needs else "no"


SECONDS = Column(
    "time a network",
    "to apply the method to one network, in a batch of all of them",
    lambda row: seconds(row.get("seconds_per_network")),
)
