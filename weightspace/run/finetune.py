"""Fine-tune every network of a folder or zoo side by side: ordinary SGD or Adam, many networks per step."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, final

import torch
from pydantic import Field

from .._errors import ConfigError, SpecMismatch
from .._types import Params
from ..spec import SymmetrySpec, derive
from ..tasks import score
from ..zoo import MLP, Images, Zoo, finetune, load_images, stacked_mlp
from ..zoo._targets import ActivationName
from . import networks, record
from .config import Frozen
from .material import Progress

_SETTINGS = "finetune.json"
_CHUNKS = "chunks"


class FinetuneConfig(Frozen):
    """How a folder of networks is fine-tuned."""

    optimizer: Literal["sgd", "adam"] = Field(default="adam", description="Optimizer of every network.")
    learning_rate: float = Field(default=1e-3, gt=0, description="Learning rate.")
    epochs: int = Field(default=5, ge=1, description="Passes over the training images.")
    batch_size: int = Field(default=64, ge=1, description="Images per step.")
    l1: float = Field(default=0.0, ge=0, description="Weight of the sum of all absolute parameters.")
    images: str | None = Field(
        default=None, description="Image set. Default: the zoo's; a folder of files needs a name."
    )
    activation: ActivationName | None = Field(
        default=None, description="Hidden activation. Default: the zoo's; a folder of files needs a name."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the order of images.")
    chunk: int = Field(default=128, ge=1, description="Networks trained together, and written together.")


@final
@dataclass(frozen=True)
class Finetuned:
    """One fine-tuned network: name, file, and accuracies (fractions) and losses (nats) on the test images."""

    name: str
    out: str
    accuracy_before: float
    accuracy_after: float
    loss_before: float
    loss_after: float

    def to_json(self) -> dict[str, Any]:
        """The row as plain data."""
        return asdict(self)


@final
@dataclass(frozen=True)
class _Source:
    """Networks to read, by name, and what they are."""

    names: list[str]
    spec: SymmetrySpec
    activation: ActivationName
    images: str
    zoo: Zoo | None
    files: list[Path]

    def read(self, where: range) -> list[networks.NetworkFile]:
        if self.zoo is None:
            return [networks.read_network(self.files[index], self.spec) for index in where]
        stacked = self.zoo.load(torch.tensor(where).numpy())
        return [
            networks.NetworkFile(Path(self.names[index]), {n: v[place] for n, v in stacked.items()}, {})
            for place, index in enumerate(where)
        ]


def finetune_folder(
    path: str | Path,
    out: str | Path,
    config: FinetuneConfig | None = None,
    *,
    data_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> list[Finetuned]:
    """Fine-tune all networks at ``path`` (one architecture) into the folder ``out``; one row per network.

    Networks are trained in chunks; a chunk that is finished stays, so the same call continues after a kill and ends
    in the same files. Names, dtypes and metadata are kept; networks of a zoo are written one file each, named after
    run and epoch.

    Args:
        path: Folder of network files, or a zoo.
        out: Folder of the results.
        config: How to train.
        data_dir: Folder of image sets.
        progress: Called with networks done, networks in all, and a message.

    Raises:
        ConfigError: if nothing can be read, or ``out`` holds results of other settings or networks.
        SpecMismatch: if a network is of another architecture or holds values that are not finite.
    """
    settings = config or FinetuneConfig()
    source = _open(Path(path), settings)
    folder = Path(out)
    if folder.resolve() == Path(path).resolve():
        raise ConfigError(f"the results would replace the networks in {path}. Choose another --out.")
    _claim(folder, settings, source.names)
    images = load_images(source.images, data_dir)
    rows: list[Finetuned] = []
    for number, where in enumerate(_chunks(len(source.names), settings.chunk)):
        done = folder / _CHUNKS / f"{number:05d}.json"
        if done.is_file():
            rows += [Finetuned(**row) for row in record.read_json(done)]
        else:
            rows += _tune(source, where, settings, images, folder, done)
        if progress is not None:
            progress(len(rows), len(source.names), "fine-tuning")
    return rows


def _tune(
    source: _Source, where: range, settings: FinetuneConfig, images: Images, folder: Path, done: Path
) -> list[Finetuned]:
    read = source.read(where)
    old = networks.stack(read)
    new = finetune(
        old,
        source.spec,
        images,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        activation=source.activation,
        l1=settings.l1,
        seed=settings.seed,
    )
    before, after = _score(old, source.activation, images), _score(new, source.activation, images)
    rows: list[Finetuned] = []
    for index, network in enumerate(read):
        place = folder / network.path.name
        networks.write_changed(network, old, new, index, place)
        rows.append(
            Finetuned(
                network.path.name, str(place), before[0][index], after[0][index], before[1][index], after[1][index]
            )
        )
    # Written last: a chunk counts once all its networks are there.
    record.write_json(done, [row.to_json() for row in rows])
    return rows


def _score(params: Params, activation: str, images: Images) -> tuple[list[float], list[float]]:
    found = score(params, images.test_x, images.test_y, lambda p, x: stacked_mlp(p, x, activation))
    return found.accuracy.tolist(), found.loss.tolist()


def _open(path: Path, settings: FinetuneConfig) -> _Source:
    if (path / "zoo.json").is_file():
        zoo = Zoo.open(path)
        target = zoo.config.target
        ids, epochs = zoo.rows["id"], zoo.rows["epoch"]
        names = [f"run-{run:06d}-epoch-{epoch:03d}.safetensors" for run, epoch in zip(ids, epochs, strict=True)]
        images = settings.images or zoo.config.images
        return _Source(names, zoo.spec, settings.activation or target.activation, images, zoo, [])
    files = networks.find_networks(path)
    if settings.activation is None or settings.images is None:
        missing = "activation" if settings.activation is None else "images"
        example = "tanh" if missing == "activation" else "digits"
        raise ConfigError(
            f"network files do not say which {missing} they were trained with. Add it, e.g. --{missing} {example}."
        )
    spec = _mlp_spec(files[0], settings.activation)
    return _Source([file.name for file in files], spec, settings.activation, settings.images, None, files)


def _mlp_spec(path: Path, activation: ActivationName) -> SymmetrySpec:
    """The spec of the MLP in a file, by the shapes of its weights."""
    params = networks.read_tensors(path)
    weights = sorted((name for name in params if name.endswith(".weight")), key=_layer)
    shapes = [tuple(params[name].shape) for name in weights]
    chained = all(len(shape) == 2 for shape in shapes) and all(a[0] == b[1] for a, b in pairwise(shapes))
    if not weights or not chained or weights != [f"layers.{index}.weight" for index in range(len(weights))]:
        raise SpecMismatch(
            f"{path} is no MLP with parameters layers.0.weight, layers.0.bias, ...: it holds "
            f"{', '.join(f'{name} {list(value.shape)}' for name, value in params.items())}. "
            "Only such networks can be fine-tuned in one batch; rename the parameters."
        )
    widths = (shapes[0][1], *(shape[0] for shape in shapes))
    return derive(MLP(widths, activation), torch.zeros(1, widths[0]))


def _layer(name: str) -> int:
    number = re.search(r"\d+", name)
    return int(number[0]) if number else -1


def _claim(folder: Path, settings: FinetuneConfig, names: Sequence[str]) -> None:
    now = {"settings": settings.model_dump(mode="json"), "networks": list(names)}
    path = folder / _SETTINGS
    if path.is_file():
        before = record.read_json(path)
        if before != now:
            changed = "networks" if before.get("settings") == now["settings"] else "settings"
            raise ConfigError(f"{folder} holds networks fine-tuned with other {changed}. Choose another --out.")
        return
    record.write_json(path, now)


def _chunks(num: int, size: int) -> Iterator[range]:
    for start in range(0, num, size):
        yield range(start, min(start + size, num))
