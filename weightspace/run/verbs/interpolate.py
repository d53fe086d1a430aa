"""An orbit experiment as a run: networks drawn from a zoo, panel after panel, resumed where it was stopped."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..._errors import ConfigError, ZooError
from ..._types import Params, Progress
from ...alignment import classification
from ...files.results import Results
from ...tasks.merging.orbit_curves import Measure, OrbitCurves, image_error, one_by_one, orbit_curves, orbit_pairs
from ...tasks.merging.perturb import stream
from ...zoo import (
    Images,
    ImportedConfig,
    InrZooConfig,
    SeedZooConfig,
    Zoo,
    index_fingerprint,
    load_images,
    make_zoo,
    unfinished,
)
from .. import environment, record
from ..config import read_yaml, to_yaml
from .orbit_config import OrbitPanel, OrbitRun
from .orbit_files import write_orbit_files
from .orbit_rows import PanelRows, read_rows, write_rows

PANELS = "panels"
_FOLDER = Results(
    "an experiment", "interpolating", record.CONFIG, ("*.json", "*.csv", "*.svg", f"{PANELS}/*.npz"), beside=("zoo",)
)


def interpolate(
    config: OrbitRun,
    out: Path,
    *,
    zoo: Path | None = None,
    data_dir: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[list[PanelRows], list[Path]]:
    """All panels of an orbit experiment, and the files written.

    Killed at any moment, the same call continues with the first panel that is not done.

    Args:
        config: The experiment.
        out: Its folder: rows of all pairs in ``panels/``, tables, a figure and ``results.json``.
        zoo: Folder of the zoo; by default ``zoo`` inside ``out``, made if it is not there.
        data_dir: Folder of image sets, see :func:`weightspace.zoo.load_images`.
        overwrite: Replace an experiment of another configuration.
        progress: Called with pieces of work done, all of them, and a message.

    Raises:
        ConfigError: if ``out`` holds anything but this experiment, is in use or cannot be written, or the zoo does not
            suit.
        ZooError: if the zoo is missing or damaged.
    """
    made_from = config.model_dump(mode="json")
    _FOLDER.check(out, made_from, overwrite=overwrite, read=read_yaml)
    found = _open(config, out, zoo, data_dir, progress)
    chosen = _chosen(config, found)
    colour = isinstance(found.config, InrZooConfig) and found.config.target.colour
    images = load_images(found.config.images, data_dir, progress, full_size=True, colour=colour)
    measures = [_measure(config, found, images, row) for row in chosen.tolist()]
    about = {"networks": len(found), "index_sha256": index_fingerprint(found.path), "rows": chosen.tolist()}
    with _FOLDER.opened(out, made_from, overwrite=overwrite, read=read_yaml, text=to_yaml(config)):
        environment.add_process(out, first=not (out / record.ENVIRONMENT).is_file())
        panels = []
        for place, panel in enumerate(config.panels):
            path, fingerprint = out / PANELS / f"{panel.name}.npz", _fingerprint(config, panel, about)
            if not path.is_file():
                steps = (place, len(config.panels))
                write_rows(path, _measured(config, panel, found, chosen, measures, steps, progress), fingerprint)
            panels.append(read_rows(path, panel, fingerprint))
        return panels, write_orbit_files(out, config, panels, about)


def _measured(
    config: OrbitRun,
    panel: OrbitPanel,
    zoo: Zoo,
    chosen: np.ndarray,
    measures: list[Measure],
    steps: tuple[int, int],
    progress: Progress | None,
) -> PanelRows:
    params = zoo.load(chosen)
    curves: dict[str, list[OrbitCurves]] = {method: [] for method in config.methods}
    own, given = [], []
    each = len(chosen) * len(config.methods)
    for place, (row, measure) in enumerate(zip(chosen.tolist(), measures, strict=True)):
        network = {name: value[place] for name, value in params.items()}
        # Panels of one kind share their copies, so that noise is all that differs.
        seed = stream(config.seed, ("permutations", "signs", "scales", "all").index(panel.kind), row)
        pairs = orbit_pairs(
            network, zoo.spec, panel.kind, num=config.copies, sigma=panel.sigma, seed=seed, scale_std=config.scale_std
        )
        own.append(measure({name: value.unsqueeze(0) for name, value in network.items()})[0].expand(config.copies))
        given.append(_losses(measure, pairs.second))
        for done, method in enumerate(config.methods):
            if progress is not None:
                before = steps[0] * each + place * len(config.methods) + done
                progress(before, steps[1] * each, f"panel {panel.name}")
            found = orbit_curves(pairs, zoo.spec, method, measure, points=config.points, seed=seed)
            curves[method].append(found)
    joined = {}
    for method, parts in curves.items():
        accuracies = [part.accuracy for part in parts if part.accuracy is not None]
        accuracy = torch.cat(accuracies) if accuracies else None
        losses, places = torch.cat([part.loss for part in parts]), torch.cat([part.in_place for part in parts])
        joined[method] = OrbitCurves(losses, accuracy, places)
    network = torch.from_numpy(chosen).repeat_interleave(config.copies)
    t = torch.linspace(0, 1, config.points, dtype=torch.float64)
    return PanelRows(panel, t, network, torch.cat(own), torch.cat(given), joined)


def _losses(measure: Measure, params: Params) -> torch.Tensor:
    """Losses of stacked networks, a few at a time."""
    num = len(next(iter(params.values())))
    return torch.cat([measure({n: v[some] for n, v in params.items()})[0] for some in torch.arange(num).split(40)])


def _measure(config: OrbitRun, zoo: Zoo, images: Images, row: int) -> Measure:
    """An INR is measured on its own image, a classifier on images of the test half."""
    if isinstance(zoo.config, InrZooConfig):
        own = {"train": images.train_x, "val": images.val_x, "test": images.test_x}[str(zoo.rows["split"][row])]
        return image_error((own[int(zoo.rows["image"][row])] + 1) / 2, zoo.config.target)
    assert isinstance(zoo.config, SeedZooConfig), "checked when it was opened"
    target = zoo.config.target
    inputs = images.test_x[: config.images].reshape(-1, *target.example().shape[1:])
    return one_by_one(classification(target.build(), inputs, images.test_y[: config.images]))


def _open(config: OrbitRun, out: Path, zoo: Path | None, data_dir: str | Path | None, progress: Progress | None) -> Zoo:
    where = out / "zoo" if zoo is None else zoo
    try:
        found = Zoo.open(where)
    except ZooError:
        # A zoo that the user names is never touched; one inside the folder is the experiment's own.
        num = unfinished(config.zoo, where) if zoo is None else None
        if num is None:
            raise
        return make_zoo(config.zoo, where, data_dir=data_dir, num=num, progress=progress)
    want, have = config.zoo.target.kind, found.config.target.kind
    if not isinstance(found.config, InrZooConfig | SeedZooConfig) or want != have:
        raise ConfigError(
            f"{where} holds networks of the kind {have}{_origin(found)}; {config.name} is about {want} on whole "
            "images. Give another --zoo, or leave it out to have one made."
        )
    return found


def _origin(zoo: Zoo) -> str:
    return ", imported without the images themselves" if isinstance(zoo.config, ImportedConfig) else ""


def _chosen(config: OrbitRun, zoo: Zoo) -> np.ndarray:
    """Rows of the networks that take part, drawn by the seed."""
    rows = np.flatnonzero(~zoo.rows["diverged"]) if config.split is None else zoo.split(config.split)
    if len(rows) < config.networks:
        which = "sound networks" if config.split is None else f"networks in its split {config.split!r}"
        hint = f"Ask for fewer: --networks {len(rows)}" if len(rows) else "Make a larger zoo."
        raise ConfigError(f"{zoo.path} has {len(rows)} {which}, {config.networks} are asked for. {hint}")
    return np.random.default_rng(config.seed).choice(rows, config.networks, replace=False)


def _fingerprint(config: OrbitRun, panel: OrbitPanel, about: dict[str, Any]) -> str:
    """Of all that a panel's rows follow from."""
    settings = config.model_dump(mode="json", exclude={"name", "zoo", "panels"})
    text = json.dumps([settings, panel.model_dump(mode="json"), about], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
