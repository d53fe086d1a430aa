"""The results table: every method a file of its own, so that an interrupted evaluation continues where it stopped."""

import hashlib
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from .._errors import ConfigError
from .._types import Params
from ..files import atomic
from ..tasks import (
    agreement_counts,
    calibrated_loss,
    dependence_pairs,
    fraction_below,
    l1_norm,
    mean_interval,
    objective_values,
    orbit_minimal_l1,
    pair_interval,
    prune_magnitude,
    resample,
    score,
    select,
)
from . import record
from ._context import Changed, Context
from ._headline import headline
from ._keys import identity, short_hash
from ._tables import markdown, seconds
from .config import Run, from_yaml
from .fit import model_folder
from .material import Material, Progress, load_material, spread
from .methods import Method, methods

THRESHOLDS = (1e-3, 1e-2)
"""Absolute values below which a parameter counts as zero."""

PRUNED = (50, 70, 85)
"""Percentages of parameters set to zero, smallest first, before accuracy is measured again."""

_FORMAT = 2
"""Number of the cells' format: cells that lack a number of the table are computed again."""


def evaluate(
    run_dir: str | Path,
    *,
    progress: Progress | None = None,
    data_dir: str | Path | None = None,
    only: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """Complete the table of a run; returns what ``results.json`` holds.

    Each method's numbers are written to ``cells/METHOD.json`` as soon as they are there; a method whose file
    exists and still belongs to this run (same networks, settings and operator) is not computed again. The table is
    written after every method: rows that are missing say *not run*.

    Args:
        run_dir: Folder of a trained run.
        progress: Called with methods done, methods in all, and a message.
        data_dir: Folder of image sets.
        only: Names of the methods to compute; default: all.

    Raises:
        ConfigError: if the folder holds no run, or ``only`` an unknown method.
    """
    folder = Path(run_dir)
    if not (folder / record.CONFIG).is_file():
        raise ConfigError(
            f"{folder} is no run: it holds no {record.CONFIG}. Train one: weightspace train demo --out {folder}"
        )
    config = from_yaml(folder / record.CONFIG)
    rows = methods(config)
    wanted = _check_names(only, [row.name for row in rows])
    material = load_material(config, folder, data_dir=data_dir, progress=progress)
    atomic.remove_leftovers(folder / "cells")
    table = _Table(config, folder, material, rows, progress)
    results = table.write()
    for index, row in enumerate(rows):
        if progress is not None:
            progress(index, len(rows), f"evaluating: {row.label}")
        if row.name in wanted and table.fill(row):
            results = table.write()
    if progress is not None:
        progress(len(rows), len(rows), "evaluated")
    return results


def _check_names(only: tuple[str, ...] | None, known: list[str]) -> set[str]:
    for name in only or ():
        if name not in known:
            raise ConfigError(f"unknown method {name!r}. This run's table has: {', '.join(known)}.")
    return set(known if only is None else only)


@final
class _Table:
    def __init__(
        self, config: Run, folder: Path, material: Material, rows: list[Method], progress: Progress | None
    ) -> None:
        self.config, self.folder, self.material, self.rows = config, folder, material, rows
        count = min(config.evaluate.max_networks or len(material.test), len(material.test))
        chosen = spread(len(material.test), count)
        self.test, self.groups = select(material.test.params, chosen), material.test.runs[chosen.numpy()]
        self.weights = resample(self.groups, seed=config.train.seed)
        self.progress = progress
        images = material.images
        self.images = (images.test_x, images.test_y)
        self.before = score(self.test, *self.images, material.forward)
        self.identity, self.commit = identity(material), record.commit()

    def fill(self, row: Method) -> bool:
        """Compute a row unless it is there; False if it cannot be computed yet."""
        if self._cell(row.name) is not None:
            return True
        missing = row.checkpoint is not None and not self._checkpoint(row.checkpoint).is_file()
        if missing or (row.after is not None and self._cell(row.after) is None):
            return False
        context = Context(self.config, self.folder, self.material, self.test, self._cell, self.progress)
        changed = row.change(context)
        cell = {"key": self._key(row), "method": row.name, "commit": self.commit, **self._numbers(changed)}
        atomic.write_json(self._path(row.name), cell)
        return True

    def write(self) -> dict[str, Any]:
        """Write ``results.json`` and ``results.md`` from the cells that are there."""
        made = atomic.read_json(self.folder / record.ENVIRONMENT)
        results = {
            "recipe": self.config.name,
            "activation": self.material.activation,
            "images": self.material.images.name,
            "objective": self.config.objective.kind,
            "l1": self.config.objective.l1,
            "num_networks": {
                "train": len(self.material.train),
                "val": len(self.material.val),
                "test": len(self.groups),
            },
            "min_val_accuracy": self.config.filter.min_val_accuracy,
            "seed": self.config.train.seed,
            "command": made["command"],
            "commit": self.commit,
            "trained_commit": made["commit"],
            "threads": torch.get_num_threads(),
            "test_runs": self.groups.tolist(),
            "rows": [self._row(row) for row in self.rows],
        }
        atomic.write_json(self.folder / record.RESULTS, results)
        atomic.write_text(self.folder / record.TABLE, _page(results))
        return results

    def _numbers(self, changed: Changed) -> dict[str, Any]:
        params, forward = changed.params, self.material.forward
        after = score(params, *self.images, forward)
        images = self.material.images
        validation, training = (images.val_x, images.val_y), (images.train_x, images.train_y)
        task = self.material.objective(self.config)
        values = objective_values(task, params, self.test, *self.images)
        counts = agreement_counts(after.predictions, self.before.predictions)
        pairs = dependence_pairs(counts, len(self.images[0]))
        pruned = {str(share): self._accuracy(prune_magnitude(params, share / 100)) for share in PRUNED}
        before, now = l1_norm(self.test), l1_norm(params)
        return {
            "seconds_per_network": changed.seconds / len(self.groups),
            "detail": changed.detail,
            "accuracy": _list(after.accuracy),
            "validation_accuracy": _list(score(params, *validation, forward).accuracy),
            "loss": _list(after.loss),
            "loss_calibrated": _list(calibrated_loss(params, forward, training, self.images)),
            "objective": _list(values),
            "agreement": _list(counts.diagonal() / len(self.images[0])),
            "input_dependence": pair_interval(pairs, self.weights).to_json(),
            "l1_cut": float((1 - now / before).mean()),
            "orbit_l1_cut": self._orbit_cut(params),
            "zeros": {
                f"{limit:.0e}".replace("e-0", "e-"): float(fraction_below(params, limit).mean()) for limit in THRESHOLDS
            },
            "pruned_accuracy": pruned,
        }

    def _accuracy(self, params: Params) -> float:
        return float(score(params, *self.images, self.material.forward).accuracy.mean())

    def _orbit_cut(self, params: Params) -> float | None:
        spec = self.material.spec
        if not any(space.scale in ("positive", "nonzero") for space in spec.free):
            return None
        before, now = orbit_minimal_l1(self.test, spec), orbit_minimal_l1(params, spec)
        return float((1 - now / before).mean())

    def _row(self, row: Method) -> dict[str, Any]:
        cell = self._cell(row.name)
        head = {"method": row.name, "label": row.label, "needs_data": row.needs_data}
        if cell is None:
            return head | {"status": "not run"}
        best = int(np.argmax(cell["validation_accuracy"]))
        return head | {
            "status": "done",
            "label": _label(row, cell),
            "commit": cell["commit"],
            "accuracy": self._interval(cell["accuracy"]) | {"max": cell["accuracy"][best]},
            "loss": self._interval(cell["loss"]),
            "loss_calibrated": self._interval(cell["loss_calibrated"]),
            "objective": self._interval(cell["objective"]),
            "loss_drop": self._drop(row, cell, "loss"),
            "loss_calibrated_drop": self._drop(row, cell, "loss_calibrated"),
            "seconds_per_network": None if row.name == "input" else cell["seconds_per_network"],
            "agreement": self._interval(cell["agreement"]),
            "input_dependence": cell["input_dependence"],
            "l1_cut": cell["l1_cut"],
            "orbit_l1_cut": cell["orbit_l1_cut"],
            "zeros": cell["zeros"],
            "pruned_accuracy": cell["pruned_accuracy"],
            "detail": cell["detail"],
            "per_network_accuracy": cell["accuracy"],
        }

    def _drop(self, row: Method, cell: dict[str, Any], key: str) -> dict[str, float] | None:
        inputs = self._cell("input")
        if inputs is None or row.name == "input":
            return None
        return self._interval(np.subtract(inputs[key], cell[key]))

    def _interval(self, values: Any) -> dict[str, float]:
        return mean_interval(np.asarray(values, dtype=np.float64), self.weights).to_json()

    def _cell(self, name: str) -> dict[str, Any] | None:
        path = self._path(name)
        if not path.is_file():
            return None
        cell = atomic.read_json(path)
        row = next(row for row in self.rows if row.name == name)
        return cell if cell.get("key") == self._key(row) else None

    def _path(self, name: str) -> Path:
        return self.folder / record.CELLS / f"{name}.json"

    def _checkpoint(self, model: str) -> Path:
        return model_folder(self.folder, model) / record.CHECKPOINT

    def _key(self, row: Method) -> str:
        """Changes with everything a row's numbers follow from."""
        parts: dict[str, Any] = {
            "format": [_FORMAT, THRESHOLDS, PRUNED],
            "row": [row.name, row.settings],
            "material": [self.identity, self.groups.tolist()],
            "objective": self.config.objective.model_dump(mode="json"),
            # The intervals of single rows are drawn with it.
            "seed": self.config.train.seed,
        }
        if row.checkpoint is not None and self._checkpoint(row.checkpoint).is_file():
            parts["checkpoint"] = hashlib.sha256(self._checkpoint(row.checkpoint).read_bytes()).hexdigest()
        if row.after is not None:
            earlier = self._cell(row.after)
            parts["after"] = None if earlier is None else earlier["seconds_per_network"]
        return short_hash(parts)


def _label(row: Method, cell: dict[str, Any]) -> str:
    """The row's label; where time was the aim, with the time that was met."""
    if "operator_seconds" not in cell["detail"]:
        return row.label
    taken, aim = seconds(cell["seconds_per_network"]), seconds(cell["detail"]["operator_seconds"])
    return f"{row.label} ({taken} a network; operator {aim})"


def _list(values: Tensor) -> list[float]:
    return [float(value) for value in values]


def _page(results: dict[str, Any]) -> str:
    counts = results["num_networks"]
    sparsity = f", L1 weight {results['l1']:g}" if results["l1"] else ""
    return (
        f"# {results['recipe']}: {results['activation']} networks on {results['images']}\n\n{headline(results)}\n\n"
        f"Objective `{results['objective']}`{sparsity}; {counts['train']} networks to train on, {counts['val']} for "
        f"choices, {counts['test']} unseen ones in the tables. Intervals are 95 % bootstrap over training runs of "
        "networks. Seconds are wall time around the method divided by networks, all of them in one batch, "
        f"{results['threads']} threads; choosing a learning rate is not counted.\n\n"
        f"Command: `{results['command']}`, evaluated at commit {results['commit'] or 'unknown'}\n\n{markdown(results)}"
    )
