"""What stands under the results tables: choices made for single rows, and what their numbers depend on."""

from collections.abc import Mapping, Sequence
from typing import Any

_TUNED = "Learning rates were chosen on validation networks and validation images: "
_GAUGE = (
    "These networks have hidden neurons with positive scales: the same function can be written with other weights. "
    "Zeros, accuracy after pruning and magnitude pruning depend on which of them a network happens to have; the orbit "
    "L1 cut does not."
)


def choices(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The learning rate of every fine-tuning row, how long it ran, and whether the rate is the edge of its grid."""
    tuned = [row for row in rows if "learning_rate" in (row.get("detail") or {})]
    notes = [_TUNED + "; ".join(f"{_name(row)}: {_rate(row['detail'])}" for row in tuned) + "."] if tuned else []
    edges = [row for row in tuned if row["detail"].get("edge")]
    if edges:
        named = ", ".join(f"{_name(row)} ({row['detail']['edge']})" for row in edges)
        notes.append(f"The chosen rate is the edge of its grid, so a rate beyond might do better, for: {named}.")
    factors = {row["method"]: row["detail"]["factor"] for row in rows if "factor" in (row.get("detail") or {})}
    notes += [
        f"The factor for everybody, chosen on training networks and validation images, is {factor:.3g}."
        for factor in factors.values()
    ]
    return notes


def gauge_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A warning where sparsity depends on how a function is written; such runs report an orbit L1 cut."""
    return [_GAUGE] if any(row.get("orbit_l1_cut") is not None for row in rows) else []


def _name(row: Mapping[str, Any]) -> str:
    # A label may hold measured times, which stand in the table already.
    return (row.get("label") or row["method"]).split(" (")[0]


def _rate(detail: Mapping[str, Any]) -> str:
    epochs = float(detail["epochs"])
    length = "" if epochs.is_integer() else f" ({epochs:.2g} of an epoch)"
    dropped = [rate for rate, loss in (detail.get("tried") or {}).items() if loss is None]
    diverged = f" ({', '.join(dropped)} diverged)" if dropped else ""
    return f"{detail['learning_rate']:g}{length}{diverged}"
