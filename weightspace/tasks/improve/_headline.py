"""One honest sentence about a run, made from its numbers: ours, the constant output and Adam at equal seconds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._table import Row, is_done, label, percent, seconds
from ..bootstrap import mean_interval, resample


def headline(results: Mapping[str, Any]) -> str:
    """The sentence a report leads with.

    A comparison counts as won or lost only if the 95 % bootstrap interval of the paired difference of
    accuracies (over test networks) leaves zero out; else the two are called indistinguishable.
    """
    rows = {row["method"]: row for row in results["rows"]}
    groups = results.get("test_runs")
    ours = rows.get("ours")
    if ours is None or not is_done(ours):
        return "The operator was not run yet, so there is nothing to compare."
    networks = results.get("num_networks", {}).get("test", len(ours.get("per_network_accuracy") or []))
    change = _change(rows.get("input"), ours, groups) + _loss(ours)
    if results.get("objective") == "ce":
        change += _temperature(ours, rows.get("global-scale"))
    if results.get("l1") and ours.get("l1_cut") is not None:
        change += f" and cuts the sum of |weights| by {percent(ours['l1_cut'])}"
    constant = _against(ours, rows.get("constant"), "the constant output", groups)
    adam, name = _adam(rows, ours)
    return f"On {networks} unseen networks the operator {change}; {constant}, and {_against(ours, adam, name, groups)}."


def difference(a: Row, b: Row, groups: Sequence[int] | None = None) -> tuple[float, float] | None:
    """95 % interval of the mean accuracy of ``a`` minus that of ``b``, paired by network; a fraction.

    ``groups`` are the training runs of the networks (``test_runs`` of the results): checkpoints of one run are
    drawn together. Where the accuracies of single networks are missing, the two intervals are set against each
    other, which is wider. ``None`` if a number is missing.
    """
    left, right = a.get("per_network_accuracy"), b.get("per_network_accuracy")
    if left and right and len(left) == len(right):
        runs = np.arange(len(left)) if groups is None else np.asarray(groups)
        gap = mean_interval(np.asarray(left, float) - np.asarray(right, float), resample(runs))
        return gap.low, gap.high
    one, two = a.get("accuracy"), b.get("accuracy")
    if not one or not two or None in (one.get("low"), one.get("high"), two.get("low"), two.get("high")):
        return None
    return one["low"] - two["high"], one["high"] - two["low"]


def _verdict(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return "unknown"
    return "wins" if interval[0] > 0 else "loses" if interval[1] < 0 else "same"


def _mean(row: Row) -> str:
    return percent((row.get("accuracy") or {}).get("mean"))


def _change(source: Row | None, ours: Row, groups: Sequence[int] | None) -> str:
    cost = f"in {seconds(ours.get('seconds_per_network'))} a network without data"
    if source is None or not is_done(source):
        return f"reaches {_mean(ours)} accuracy {cost}"
    verb = {
        "wins": "raises accuracy from {} to {}",
        "loses": "lowers accuracy from {} to {}",
        "same": "leaves accuracy where it was, within the interval ({} before, {} after),",
        "unknown": "takes accuracy from {} to {}",
    }[_verdict(difference(ours, source, groups))]
    return f"{verb.format(_mean(source), _mean(ours))} {cost}"


def _loss(ours: Row) -> str:
    """What became of the loss, if its paired interval leaves zero out."""
    drop = ours.get("loss_drop") or {}
    if None in (drop.get("mean"), drop.get("low"), drop.get("high")) or drop["low"] <= 0 <= drop["high"]:
        return ""
    verb = "lowers" if drop["mean"] > 0 else "raises"
    return f" and {verb} the loss by {abs(drop['mean']):.3f} nats"


def _temperature(ours: Row, scaled: Row | None) -> str:
    """How much of a lower loss one factor for everybody gives, and how much is left once all are calibrated."""
    if not _loss(ours):
        return ""
    said: list[str] = []
    if scaled is not None and is_done(scaled) and scaled.get("loss_drop"):
        said.append(f"one factor on all logits alone changes it by {_by(scaled['loss_drop'])}")
    if ours.get("loss_calibrated_drop"):
        said.append(
            f"with every network calibrated before and after, the change is {_by(ours['loss_calibrated_drop'])}"
        )
    return f" ({'; '.join(said)})" if said else ""


def _by(drop: Mapping[str, float]) -> str:
    """A change of the loss with its interval; a drop is negative."""
    return f"{-drop['mean']:+.3f} [{-drop['high']:+.3f}, {-drop['low']:+.3f}]"


def _against(ours: Row, other: Row | None, name: str, groups: Sequence[int] | None) -> str:
    if other is None or not is_done(other):
        return f"{name} was not run"
    facts = _mean(other)
    if other.get("needs_data"):
        facts = f"{_short(other)}: {facts} in {seconds(other.get('seconds_per_network'))} a network, with data"
    return {
        "wins": f"it beats {name} ({facts})",
        "loses": f"it loses to {name} ({facts})",
        "same": f"it cannot be told from {name} ({facts})",
        "unknown": f"it stands beside {name} ({facts}) without an interval to judge by",
    }[_verdict(difference(ours, other, groups))]


def _short(row: Row) -> str:
    """The row's name; where time was the aim, how long it trained, as the times are stated beside it."""
    epochs = (row.get("detail") or {}).get("epochs")
    if row["method"] != "adam-equal" or epochs is None:
        return label(row)
    return (
        f"Adam, {epochs:.2g} of an epoch" if epochs < 1 else f"Adam, {epochs:g} {'epoch' if epochs == 1 else 'epochs'}"
    )


def _adam(rows: Mapping[str, Row], ours: Row) -> tuple[Row | None, str]:
    """The Adam row that was given the operator's seconds, else the nearest to them, and what to call it."""
    equal = "Adam at equal seconds"
    adams = [row for name, row in rows.items() if name.startswith("adam") and is_done(row)]
    budget = ours.get("seconds_per_network")
    if not adams or not budget:
        return None, equal
    ratio = {row["method"]: math.log(max(row.get("seconds_per_network") or 0.0, 1e-9) / budget) for row in adams}
    chosen = "adam-equal" if "adam-equal" in ratio else min(ratio, key=lambda name: abs(ratio[name]))
    # Whole steps seldom fill the time exactly; within a factor of two it is called equal, and seconds are stated.
    if abs(ratio[chosen]) <= math.log(2):
        return rows[chosen], equal
    return rows[chosen], f"Adam at {'more' if ratio[chosen] > 0 else 'fewer'} seconds"
