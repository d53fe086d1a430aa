"""The results table: every method a file of its own, so that an interrupted evaluation continues where it stopped."""

import hashlib
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from .._errors import ConfigError
from .._types import Progress
from ..files import atomic
from ..tasks import AbstractProblem, Context, Method, markdown, resample, spread
from . import models, record
from ._keys import identity, short_hash
from .config import Run, from_yaml
from .fit import model_folder
from .problem import open_problem
from .report import tables
from .symmetry import symmetry_error

_FORMAT = 4
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
    exists and still belongs to this run (same networks, settings and model) is not computed again. The table is
    written after every method: rows that are missing say *not run*.

    Args:
        run_dir: Folder of a trained run.
        progress: Called with methods done, methods in all, and a message.
        data_dir: Folder of the data that the task reads.
        only: Names of the methods to compute; default: all.

    Raises:
        ConfigError: if the folder holds no run, or ``only`` an unknown method.
    """
    folder = Path(run_dir)
    if not (folder / record.CONFIG).is_file():
        raise ConfigError(
            f"{folder} is no run: it holds no {record.CONFIG}. Train one: weightspace train RECIPE --out {folder}"
        )
    config = from_yaml(folder / record.CONFIG)
    _, problem = open_problem(config, folder, data_dir=data_dir, progress=progress)
    rows = list(problem.methods(config.models()))
    wanted = _check_names(only, [row.name for row in rows])
    atomic.remove_leftovers(folder / record.CELLS)
    table = _Table(config, folder, problem, rows, progress)
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
        self, config: Run, folder: Path, problem: AbstractProblem, rows: list[Method[Any]], progress: Progress | None
    ) -> None:
        self.config, self.folder, self.problem, self.rows = config, folder, problem, rows
        test = problem.dataset.splits["test"]
        count = min(config.evaluate.max_networks or len(test), len(test))
        self.test = test.choose(spread(len(test), count))
        self.weights = resample(self.test.runs, seed=config.train.seed)
        self.progress = progress
        self.identity, self.commit = identity(problem), record.commit()

    def fill(self, row: Method[Any]) -> bool:
        """Compute a row unless it is there; False if it cannot be computed yet."""
        if self._cell(row.name) is not None:
            return True
        missing = row.model is not None and not self._checkpoint(row.model).is_file()
        if missing or (row.after is not None and self._cell(row.after) is None):
            return False
        settings = self.config.train
        context = Context(self.test, self._model, self._cell, settings.per_pass, settings.seed, self.progress)
        answer = row.answer(context)
        numbers = self.problem.numbers(answer, self.test, settings.seed)
        if row.model is not None and row.after is None:
            spec, module = self.problem.dataset.spec, self._model(row.model)
            numbers["symmetry"] = symmetry_error(module, spec, self.test.params, settings.per_pass)
        head = {"key": self._key(row), "method": row.name, "commit": self.commit}
        cost = {"seconds_per_network": answer.seconds / len(self.test), "detail": answer.detail}
        atomic.write_json(self._path(row.name), head | cost | numbers)
        return True

    def write(self) -> dict[str, Any]:
        """Write ``results.json`` and ``results.md`` from the cells that are there."""
        made = atomic.read_json(self.folder / record.ENVIRONMENT)
        found = {row.name: self._cell(row.name) for row in self.rows}
        cells = {name: cell for name, cell in found.items() if cell is not None}
        results = {
            "recipe": self.config.name,
            "task": self.config.task.kind,
            "models": {name: family.kind for name, family in self.config.models().items()},
            **self.problem.facts(),
            "num_networks": {
                name: len(self.test if name == "test" else networks)
                for name, networks in self.problem.dataset.splits.items()
            },
            "seed": self.config.train.seed,
            "command": made["command"],
            "commit": self.commit,
            "trained_commit": made["commit"],
            "threads": torch.get_num_threads(),
            "test_runs": self.test.runs.tolist(),
            "rows": [self._row(row, cells) for row in self.rows],
        }
        atomic.write_json(self.folder / record.RESULTS, results)
        atomic.write_text(self.folder / record.TABLE, self._page(results))
        return results

    def _row(self, row: Method[Any], cells: dict[str, dict[str, Any]]) -> dict[str, Any]:
        head = {"method": row.name, "label": row.label, "needs_data": row.needs_data}
        if row.name not in cells:
            return head | {"status": "not run"}
        done = {"status": "done", "commit": cells[row.name]["commit"]}
        if "symmetry" in cells[row.name]:
            done["symmetry"] = cells[row.name]["symmetry"]
        return head | done | self.problem.row(row, cells, self.weights)

    def _page(self, results: dict[str, Any]) -> str:
        task = self.config.task
        return (
            f"# {task.title(results)}\n\n{task.headline(results)}\n\n{task.explained(results)}\n\n"
            f"Command: `{results['command']}`, evaluated at commit {results['commit'] or 'unknown'}\n\n"
            f"{markdown(tables(results))}"
        )

    def _model(self, name: str) -> nn.Module:
        return models.load(self._checkpoint(name)).module

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

    def _key(self, row: Method[Any]) -> str:
        """Changes with everything a row's numbers follow from."""
        task = self.config.task
        parts: dict[str, Any] = {
            "format": [_FORMAT, self.problem.measured()],
            "row": [row.name, row.settings],
            "dataset": [self.identity, self.test.runs.tolist()],
            "task": task.model_dump(mode="json", exclude=set(task.later)),
            # Intervals of single rows are drawn with it.
            "seed": self.config.train.seed,
        }
        if row.model is not None and self._checkpoint(row.model).is_file():
            parts["checkpoint"] = hashlib.sha256(self._checkpoint(row.model).read_bytes()).hexdigest()
            parts["per_pass"] = self.config.train.per_pass
        if row.after is not None:
            earlier = self._cell(row.after)
            parts["after"] = None if earlier is None else earlier["seconds_per_network"]
        return short_hash(parts)
