"""The results table: which columns it has and how each cell reads, for the terminal, Markdown and HTML alike.

``run.evaluate`` writes ``results.md`` with :func:`markdown`; the report and the command line show the same
:class:`Table` objects, so a number looks the same wherever it stands. A cell that was not computed says *not
run*; a dash means that the column has no meaning for the method.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from ._notes import choices, gauge_notes

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


def tables(results: Mapping[str, Any]) -> list[Table]:
    """The two tables of a run: what each method achieves, and what it does to the networks.

    Together they hold every column of ``results.json``.
    """
    rows: list[Row] = results["rows"]
    return [
        _table("What each method achieves", [*_ACHIEVES], rows, choices(rows)),
        _table("What each method does to the networks", [*_DOES, *_thresholds(rows)], rows, gauge_notes(rows)),
    ]


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


def markdown(results: Mapping[str, Any]) -> str:
    """Both tables as Markdown, each followed by what its columns mean."""
    parts = [
        f"### {table.title}\n\n{_pipes(table)}\n\n{_legend(table)}\n{_listed(table.notes)}" for table in tables(results)
    ]
    return "\n".join(parts)


def _table(title: str, columns: list[Column], rows: list[Row], notes: list[str]) -> Table:
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


def _interval(key: str, number: Callable[[float], str]) -> Callable[[Row], str]:
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


def _hundred(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _three(value: float) -> str:
    return f"{value:.3f}"


def _share(key: str, threshold: str) -> Callable[[Row], str]:
    return lambda row: percent((row.get(key) or {}).get(threshold))


def _needs_data(row: Row) -> str:
    needs = row.get("needs_data")
    return NONE if needs is None else "yes" if needs else "no"


_ACHIEVES = (
    Column(
        "accuracy (%)",
        "mean over test networks on the held-out half of the test images, with its 95 % interval",
        _interval("accuracy", _hundred),
    ),
    Column(
        "best (chosen on validation)",
        "test accuracy of the one network that is best on the validation images",
        lambda row: percent((row.get("accuracy") or {}).get("max")),
    ),
    Column("loss", "mean cross-entropy in nats", _interval("loss", _three)),
    Column(
        "loss, calibrated",
        "the same once all logits of each network are multiplied by its best factor on up to 5,000 training images: "
        "what is left when temperature no longer counts",
        _interval("loss_calibrated", _three),
    ),
    Column("objective", "what the operator was trained on, sparsity term included", _interval("objective", _three)),
    Column(
        "loss drop",
        "input's loss minus this one, paired by network, in nats: above 0 is better than no change",
        _interval("loss_drop", _three),
    ),
    Column("needs data", "whether images are needed to apply the method to a new network", _needs_data),
    Column(
        "time a network",
        "to apply the method to one network, in a batch of all of them",
        lambda row: seconds(row.get("seconds_per_network")),
    ),
)

_DOES = (
    Column(
        "agreement (%)",
        "images on which the new network predicts the same class as the network it came from",
        _interval("agreement", _hundred),
    ),
    Column(
        "input-dependence (points)",
        "agreement with its own input network minus agreement with another one: 0 for a constant output",
        _interval("input_dependence", _hundred),
    ),
    Column("L1 cut", "share of the input's sum of |weights| removed", lambda row: percent(row.get("l1_cut"))),
    Column(
        "orbit L1 cut",
        "the same, each network first rescaled to the smallest L1 its function allows (positive scales only)",
        lambda row: percent(row.get("orbit_l1_cut")),
    ),
)


def _thresholds(rows: list[Row]) -> list[Column]:
    """One column a stated threshold, in the order of the first row that has them."""
    columns: list[Column] = []
    for threshold in _keys(rows, "zeros"):
        title, meaning = f"zeros at {threshold}", f"share of weights with |weight| below {threshold}"
        columns.append(Column(title, meaning, _share("zeros", threshold)))
    for share in _keys(rows, "pruned_accuracy"):
        title, meaning = f"accuracy, {share} % pruned", f"after zeroing the {share} % smallest weights"
        columns.append(Column(title, meaning, _share("pruned_accuracy", share)))
    return columns


def _keys(rows: list[Row], key: str) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in (row.get(key) or {})))
