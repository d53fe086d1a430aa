"""The two tables of improved networks: what each method achieves, and what it does to the networks."""

from collections.abc import Callable, Mapping
from typing import Any

from .._table import SECONDS, Column, Row, Table, hundred, interval, needs_data, percent, table_of, three
from ._notes import choices, gauge_notes


def tables(results: Mapping[str, Any]) -> list[Table]:
    """The two tables of a run; together they hold every column of ``results.json``."""
    rows: list[Row] = results["rows"]
    return [
        table_of("What each method achieves", _ACHIEVES, rows, choices(rows)),
        table_of("What each method does to the networks", [*_DOES, *_thresholds(rows)], rows, gauge_notes(rows)),
    ]


_ACHIEVES = (
    Column(
        "accuracy (%)",
        "mean over test networks on the held-out half of the test images, with its 95 % interval",
        interval("accuracy", hundred),
    ),
    Column(
        "best (chosen on validation)",
        "test accuracy of the one network that is best on the validation images",
        lambda row: percent((row.get("accuracy") or {}).get("max")),
    ),
    Column("loss", "mean cross-entropy in nats", interval("loss", three)),
    Column(
        "loss, calibrated",
        "the same once all logits of each network are multiplied by its best factor on up to 5,000 training images: "
        "what is left when temperature no longer counts",
        interval("loss_calibrated", three),
    ),
    Column("objective", "what the operator was trained on, sparsity term included", interval("objective", three)),
    Column(
        "loss drop",
        "input's loss minus this one, paired by network, in nats: above 0 is better than no change",
        interval("loss_drop", three),
    ),
    Column("needs data", "whether images are needed to apply the method to a new network", needs_data),
    SECONDS,
)

_DOES = (
    Column(
        "agreement (%)",
        "images on which the new network predicts the same class as the network it came from",
        interval("agreement", hundred),
    ),
    Column(
        "input-dependence (points)",
        "agreement with its own input network minus agreement with another one: 0 for a constant output",
        interval("input_dependence", hundred),
    ),
    Column("L1 cut", "share of the input's sum of |weights| removed", lambda row: percent(row.get("l1_cut"))),
    Column(
        "orbit L1 cut",
        "the same, each network first rescaled to the smallest L1 its function allows (positive scales only)",
        lambda row: percent(row.get("orbit_l1_cut")),
    ),
)


def _share(key: str, threshold: str) -> Callable[[Row], str]:
    return lambda row: percent((row.get(key) or {}).get(threshold))


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
