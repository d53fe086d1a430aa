"""The task of a run, opened on the networks of its zoo."""

from pathlib import Path

from .._types import Progress
from ..tasks import AbstractProblem, load_dataset
from ..zoo import Zoo
from .config import Run
from .zoo_source import open_zoo


def open_problem(
    config: Run,
    folder: Path,
    *,
    data_dir: str | Path | None = None,
    progress: Progress | None = None,
    make: bool = False,
) -> tuple[Zoo, AbstractProblem]:
    """The run's zoo, and its task on the networks of it; ``make`` makes the zoo if there is none and the run says how.

    Raises:
        ConfigError: if there is no zoo, it is another than the run was trained on, a split holds too few networks that
            the task keeps, or the task cannot use them.
        ZooError: if the zoo is damaged.
    """
    zoo = open_zoo(config, folder, make=make, data_dir=data_dir, progress=progress)
    dataset = load_dataset(zoo, config.task.keeps, config.task.hint)
    return zoo, config.task.open(dataset, data_dir=data_dir, progress=progress)
