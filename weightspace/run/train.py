"""``train``: check the inputs, claim the folder, and fit the operator and its symmetry-broken twin."""

from pathlib import Path

from .._errors import ConfigError
from ..files import atomic
from ..spec import to_text
from ..zoo import first_difference, locked
from . import environment, record, zoo_source
from .config import Run, from_yaml, to_yaml
from .fit import MODELS, Fit, model_folder
from .interrupt import finish_step_on_interrupt
from .material import Material, Progress, load_material


def train(config: Run, out: Path, *, progress: Progress | None = None, data_dir: str | Path | None = None) -> Path:
    """Train the run's operator and its symmetry-broken twin; returns the run's folder.

    Killed at any moment, the same call continues, and on a CPU it ends in the same weights, bit for bit, as if it
    had never stopped. Ctrl-C finishes the step, saves and raises ``KeyboardInterrupt``.

    Args:
        config: What to train.
        out: The run's folder; ``broken/`` inside holds the twin's files.
        progress: Called with steps done, steps in all, and a message.
        data_dir: Folder of image sets, see :func:`weightspace.zoo.load_images`.

    Raises:
        ConfigError: if ``out`` holds another run, is in use or cannot be written, or the loss is not finite.
        ZooError: if the zoo is missing or damaged.
    """
    folder = Path(out)
    _check_same(folder, config)
    # Before the folder is claimed: what refuses the inputs leaves nothing behind.
    material = load_material(config, folder, data_dir=data_dir, progress=progress, make=True)
    with locked(folder, "training", ConfigError):
        _claim(folder, config, material)
        with finish_step_on_interrupt() as stop:
            for name in MODELS:
                Fit(config, material, folder, name).run(stop, progress)
    return folder


def _started(folder: Path) -> bool:
    """Whether the folder holds something of its run that would be lost."""
    files = (model_folder(folder, name) / file for name in MODELS for file in (record.CHECKPOINT, record.RESUME))
    return any(file.exists() for file in files)


def _check_same(folder: Path, config: Run) -> None:
    path = folder / record.CONFIG
    if not (path.exists() and _started(folder)):
        return
    # A table can be extended later; everything else would mix two experiments in one folder.
    before, now = (run.model_dump(exclude={"evaluate"}) for run in (from_yaml(path), config))
    difference = first_difference(before, now)
    if difference is not None:
        raise ConfigError(
            f"{folder} holds a run of another configuration: {difference}. Choose another --out, or repeat the "
            "command of that run."
        )


def _claim(folder: Path, config: Run, material: Material) -> None:
    # Again: since the first look another process may have begun and ended here.
    _check_same(folder, config)
    started = _started(folder)
    for place in (folder, *(model_folder(folder, name) for name in MODELS)):
        atomic.remove_leftovers(place)
    atomic.write_text(folder / record.CONFIG, to_yaml(config))
    environment.add_process(folder, first=not started)
    atomic.write_text(folder / record.SPEC, to_text(material.spec))
    zoo_source.remember(config, folder, material.zoo)
