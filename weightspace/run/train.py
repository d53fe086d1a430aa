"""``train``: check the inputs, claim the folder, and fit the model and the twins of its family."""

from pathlib import Path
from typing import Any

import torch

from .._errors import ConfigError
from .._types import Progress
from ..files import atomic
from ..files.results import Results
from ..nn import AbstractFamily
from ..spec import derive, to_text
from ..tasks import AbstractTask
from . import environment, models, record, zoo_source
from .config import Run, from_yaml, read_yaml, to_yaml
from .fit import Fit, model_folder
from .interrupt import finish_step_on_interrupt
from .problem import open_problem

_FOLDER = Results(
    "a run",
    "training",
    record.CONFIG,
    (
        *record.FILES,
        f"*/{record.CHECKPOINT}",
        f"*/{record.RESUME}",
        f"{record.CELLS}/*",
        "plots/*.svg",
    ),
    beside=("zoo",),
)


def train(
    config: Run,
    out: Path,
    *,
    progress: Progress | None = None,
    data_dir: str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Train the run's model and the twins of its family; returns the run's folder.

    Killed at any moment, the same call continues, and on a CPU it ends in the same weights, bit for bit, as if it
    had never stopped. Ctrl-C finishes the step, saves and raises ``KeyboardInterrupt``.

    Args:
        config: What to train.
        out: The run's folder; a folder inside holds those of each twin.
        progress: Called with steps done, steps in all, and a message.
        data_dir: Folder of the data that zoo and task read.
        overwrite: Replace a run of another configuration.

    Raises:
        ConfigError: if ``out`` holds anything but this run, is in use or cannot be written, or the loss is not finite.
        ZooError: if the zoo is missing or damaged.
    """
    _check_kinds(config)
    folder = Path(out)
    # A table can be extended later; everything else would mix two experiments in one folder.
    made_from, overwrite = config.fixed(), overwrite or not _started(folder, config)
    _FOLDER.check(folder, made_from, overwrite=overwrite, read=_read)
    _check_fits(config)
    # Before the folder is claimed: what refuses the inputs leaves nothing behind.
    zoo, problem = open_problem(config, folder, data_dir=data_dir, progress=progress, make=True)
    for family in config.models().values():
        models.build(family, config.task, zoo.spec, problem.dataset.target)
    with _FOLDER.opened(folder, made_from, overwrite=overwrite, read=_read, text=to_yaml(config)):
        environment.add_process(folder, first=not _started(folder, config))
        atomic.write_text(folder / record.SPEC, to_text(zoo.spec))
        zoo_source.remember(config, folder, zoo)
        with finish_step_on_interrupt() as stop:
            for name in config.models():
                Fit(config, problem, folder, name).run(stop, progress)
    return folder


def _check_kinds(config: Run) -> None:
    """Refuse, before anything is made, a run that its own ``config.yaml`` would not bring back.

    Raises:
        ConfigError: if a task or family is not where its kind says.
    """
    for base, own in ((AbstractTask, config.task), (AbstractFamily, config.model)):
        here, there = (f"{part.__module__}:{part.__qualname__}" for part in (type(own), base.of(own.kind)))
        # A script that is run has no name of its own.
        if here != there and not here.startswith("__main__:"):
            raise ConfigError(
                f"the {own.noun} {here} says that its kind is {own.kind!r}, but that is {there}. Write in the class: "
                f"kind: Literal[{here!r}] = {here!r}"
            )


def _check_fits(config: Run) -> None:
    """Refuse a family that cannot read the networks of a zoo before minutes go into making it."""
    if config.zoo.make is None:
        return
    target = config.zoo.make.target
    with torch.random.fork_rng([]):
        spec = derive(target.build(), target.example())
        for family in config.models().values():
            models.build(family, config.task, spec, target)


def _started(folder: Path, config: Run) -> bool:
    """Whether the folder holds something of its run that would be lost."""
    files = (
        model_folder(folder, name) / file for name in config.models() for file in (record.CHECKPOINT, record.RESUME)
    )
    return any(file.exists() for file in files)


def _read(path: Path) -> dict[str, Any]:
    try:
        return from_yaml(path).fixed()
    except ConfigError:
        return read_yaml(path)  # of an earlier version: another run than any of this one
