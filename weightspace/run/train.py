"""``train``: check the inputs, claim the folder, and fit the operator and its symmetry-broken twin."""

from pathlib import Path
from typing import Any

from ..files import atomic
from ..files.results import Results
from ..spec import to_text
from . import environment, record, zoo_source
from .config import Run, from_yaml, to_yaml
from .fit import MODELS, Fit, model_folder
from .interrupt import finish_step_on_interrupt
from .material import Progress, load_material

_FOLDER = Results(
    "a run",
    "training",
    record.CONFIG,
    (
        *record.FILES,
        "broken/*.safetensors",
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
    """Train the run's operator and its symmetry-broken twin; returns the run's folder.

    Killed at any moment, the same call continues, and on a CPU it ends in the same weights, bit for bit, as if it
    had never stopped. Ctrl-C finishes the step, saves and raises ``KeyboardInterrupt``.

    Args:
        config: What to train.
        out: The run's folder; ``broken/`` inside holds the twin's files.
        progress: Called with steps done, steps in all, and a message.
        data_dir: Folder of image sets, see :func:`weightspace.zoo.load_images`.
        overwrite: Replace a run of another configuration.

    Raises:
        ConfigError: if ``out`` holds anything but this run, is in use or cannot be written, or the loss is not finite.
        ZooError: if the zoo is missing or damaged.
    """
    folder = Path(out)
    # A table can be extended later; everything else would mix two experiments in one folder.
    made_from, overwrite = _fixed(config), overwrite or not _started(folder)
    _FOLDER.check(folder, made_from, overwrite=overwrite, read=_read)
    # Before the folder is claimed: what refuses the inputs leaves nothing behind.
    material = load_material(config, folder, data_dir=data_dir, progress=progress, make=True)
    with _FOLDER.opened(folder, made_from, overwrite=overwrite, read=_read, text=to_yaml(config)):
        environment.add_process(folder, first=not _started(folder))
        atomic.write_text(folder / record.SPEC, to_text(material.spec))
        zoo_source.remember(config, folder, material.zoo)
        with finish_step_on_interrupt() as stop:
            for name in MODELS:
                Fit(config, material, folder, name).run(stop, progress)
    return folder


def _started(folder: Path) -> bool:
    """Whether the folder holds something of its run that would be lost."""
    files = (model_folder(folder, name) / file for name in MODELS for file in (record.CHECKPOINT, record.RESUME))
    return any(file.exists() for file in files)


def _read(path: Path) -> dict[str, Any]:
    return _fixed(from_yaml(path))


def _fixed(config: Run) -> dict[str, Any]:
    """What may not change once training has begun."""
    return config.model_dump(mode="json", exclude={"evaluate"})
