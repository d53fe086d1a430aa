"""What an audit found: a row per space and group, and the reasons why it failed, if it did."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, final

from ._subgroups import Group

Kind = Literal["functional", "operator"]


@final
@dataclass(frozen=True)
class Row:
    """How a metanetwork answers to the elements of one subgroup.

    Attributes:
        space: Which moves.
        group: How it moves.
        member: Whether the spec has this group; then errors must vanish, otherwise they must not.
        float64: Error relative to the spread between networks (an operator: to the changes it makes).
        float32: The same in float32.
        plain: The same in float64 of a reader without symmetry: what a broken metanetwork would show.
        passed: Whether the law holds in both types; if the spec lacks the group, whether that was noticed.
    """

    space: str
    group: Group
    member: bool
    float64: float
    float32: float
    plain: float
    passed: bool


@final
@dataclass(frozen=True)
class Report:
    """Everything an audit found; prints as a table.

    Attributes:
        kind: A functional (parameters to a vector) or an operator (parameters to parameters).
        rows: Laws first, then controls.
        spread: Difference between the results for unrelated networks, relative to their size.
        failures: One sentence for every law that does not hold; empty if all do.
    """

    kind: Kind
    rows: tuple[Row, ...]
    spread: float
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every law holds and the metanetwork is alive."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """Numbers, words and lists only; what is not finite is a word."""
        rows = [
            {key: str(value) if isinstance(value, float) and not math.isfinite(value) else value for key, value in row}
            for row in (asdict(row).items() for row in self.rows)
        ]
        return {
            "kind": self.kind,
            "passed": self.passed,
            "failures": list(self.failures),
            "spread": self.spread if math.isfinite(self.spread) else str(self.spread),
            "rows": rows,
        }

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as words, for a table under :data:`HEADER`."""
        return [
            (
                row.space,
                row.group,
                "yes" if row.member else "no",
                f"{row.float64:.1e}",
                f"{row.float32:.1e}",
                f"{row.plain:.1e}",
                ("holds" if row.passed else "FAILS") if row.member else ("noticed" if row.passed else "not noticed"),
            )
            for row in self.rows
        ]

    def __str__(self) -> str:
        lines = [HEADER, *self.cells()]
        widths = [max(len(line[place]) for line in lines) for place in range(len(HEADER))]
        table = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([*(line.rstrip() for line in table), *self.failures])


HEADER = ("space", "group", "in the spec", "float64", "float32", "plain reader", "result")
