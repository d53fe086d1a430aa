"""Fine-tune every network of a folder or zoo side by side: ordinary SGD or Adam, many networks per step."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, final

from pydantic import Field

from ..._errors import ConfigError
from ..._frozen import Frozen
from ..._types import Params, Progress
from ...files import atomic
from ...files.formats import WRITTEN
from ...files.results import Results, digest
from ...tasks import score
from ...zoo import ActivationName, Images, Target, finetune_path, images_of
from .changed import stack, write_changed
from .classifiers import Classifiers, open_classifiers

_CHUNKS = "chunks"


def _written(folder: Path) -> list[Path]:
    """The networks that finished chunks say they wrote: others in the folder are not ours to remove."""
    outputs = [atomic.read_json(done).get("outputs", {}) for done in sorted(folder.glob(f"{_CHUNKS}/*.json"))]
    return [folder / name for names in outputs for name in names]


_FOLDER = Results("fine-tuned networks", "fine-tuning", "finetune.json", (f"{_CHUNKS}/*.json",), listed=_written)


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
        default=None, description="Hidden activation. Default: the zoo's, or what the files say."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the order of images.")
    chunk: int = Field(default=128, ge=1, description="Networks trained together, and written together.")


@final
@dataclass(frozen=True)
class Finetuned:
    """One fine-tuned network: name, file, accuracies (fractions) and losses (nats) on the validation half.

    That is the first half of the test images; the other is for final tables only. A network that diverged is written
    as it was at the end of its last sound epoch, perhaps as it was read.
    """

    name: str
    out: str
    accuracy_before: float
    accuracy_after: float
    loss_before: float
    loss_after: float
    diverged: bool = False

    def to_json(self) -> dict[str, Any]:
        """The row as plain data."""
        return asdict(self)


def finetune_folder(
    path: str | Path,
    out: str | Path,
    config: FinetuneConfig | None = None,
    *,
    data_dir: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Finetuned]:
    """Fine-tune all networks at ``path`` (one architecture) into the folder ``out``; one row per network.

    Networks are trained in chunks; a chunk that is finished stays, so the same call continues after a kill and ends
    in the same files. Results that were made from other settings or other contents are refused. Names, dtypes and
    metadata are kept, and ``activation`` is added to the metadata; networks of a zoo are written one file each, named
    after run and epoch.

    Args:
        path: Folder of network files, or a zoo.
        out: Folder of the results.
        config: How to train.
        data_dir: Folder of image sets.
        overwrite: Replace what was fine-tuned there from other settings or networks.
        progress: Called with networks done, networks in all, and a message.

    Raises:
        ConfigError: if nothing can be read, or ``out`` is in use or holds anything but results of this very call.
        SpecMismatch: if a network is of another architecture or activation, or holds values that are not finite.
    """
    settings = config or FinetuneConfig()
    source = open_classifiers(Path(path), settings.images, settings.activation)
    folder = Path(out)
    if folder.resolve() == Path(path).resolve():
        raise ConfigError(f"the results would replace the networks in {path}. Choose another --out.")
    wanted = {"settings": settings.model_dump(mode="json"), "inputs": source.digests()}
    # Without a network in it nothing would be lost or mixed.
    overwrite = overwrite or not any(path.suffix in WRITTEN for path in folder.glob("*"))
    _FOLDER.check(folder, wanted, overwrite=overwrite)
    # Before the folder is claimed: what refuses the inputs leaves nothing behind.
    images = images_of(source.target, source.images, data_dir)
    source.check(settings.chunk)
    rows: list[Finetuned] = []
    with _FOLDER.opened(folder, wanted, overwrite=overwrite):
        for number, where in enumerate(source.chunks(settings.chunk)):
            done = folder / _CHUNKS / f"{number:05d}.json"
            rows += _kept(folder, done) or _tune(source, where, settings, images, folder, done)
            if progress is not None:
                progress(len(rows), len(source.names), "fine-tuning")
    return rows


def _kept(folder: Path, done: Path) -> list[Finetuned] | None:
    """The rows of a chunk that is finished and whose networks are all there, as they were written."""
    if not done.is_file():
        return None
    found = atomic.read_json(done)
    there = {name: was for name, was in found["outputs"].items() if (folder / name).exists()}
    for name, was in there.items():
        if digest(folder / name) != was:
            raise ConfigError(
                f"{folder / name} is not as this command wrote it: it was changed or damaged. Move it elsewhere, and "
                "the same command makes it again."
            )
    return [Finetuned(**row) for row in found["rows"]] if there.keys() == found["outputs"].keys() else None


def _tune(
    source: Classifiers, where: range, settings: FinetuneConfig, images: Images, folder: Path, done: Path
) -> list[Finetuned]:
    read = source.read(where)
    old = stack(read)
    path, diverged = finetune_path(
        old,
        source.spec,
        images,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        epochs=(settings.epochs,),
        target=source.target,
        l1=settings.l1,
        seed=settings.seed,
    )
    new = path[settings.epochs]
    before, after = _score(old, source.target, images), _score(new, source.target, images)
    rows: list[Finetuned] = []
    for index, network in enumerate(read):
        place = folder / network.path.name
        write_changed(network, old, new, index, place, source.activation)
        rows.append(
            Finetuned(
                network.path.name,
                str(place),
                before[0][index],
                after[0][index],
                before[1][index],
                after[1][index],
                bool(diverged[index]),
            )
        )
    # Written last: a chunk counts once all its networks are there.
    outputs = {row.name: digest(folder / row.name) for row in rows}
    atomic.write_json(done, {"rows": [row.to_json() for row in rows], "outputs": outputs})
    return rows


def _score(params: Params, target: Target, images: Images) -> tuple[list[float], list[float]]:
    found = score(params, images.val_x, images.val_y, target.forward)
    return found.accuracy.tolist(), found.loss.tolist()
