"""Networks that can be fine-tuned side by side: the files of a folder, or the rows of a zoo."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import final, get_args

import torch

from .._errors import ConfigError, SpecMismatch
from ..files.checkpoint import ACTIVATION, open_checkpoint
from ..files.folder import find_networks
from ..files.results import digest
from ..gauge import derive
from ..spec import SymmetrySpec
from ..zoo import MLP, ActivationName, Images, Zoo, index_fingerprint
from .changed import Network, read_network


@final
@dataclass(frozen=True)
class Tunable:
    """Networks of one architecture, by name, and what they are."""

    names: list[str]
    spec: SymmetrySpec
    activation: ActivationName
    images: str
    zoo: Zoo | None
    files: list[Path]

    def read(self, where: range) -> list[Network]:
        """The networks at these places."""
        if self.zoo is None:
            return [read_network(self.files[index], self.spec, self.activation) for index in where]
        stacked = self.zoo.load(torch.tensor(where).numpy())
        return [
            Network(Path(self.names[index]), {n: v[place] for n, v in stacked.items()})
            for place, index in enumerate(where)
        ]

    def digests(self) -> dict[str, str]:
        """Of the contents, by name of a file; of a zoo, of its index, which holds those of all shards.

        Raises:
            ConfigError: if a file cannot be read.
        """
        if self.zoo is not None:
            return {"zoo": index_fingerprint(self.zoo.path)}
        return dict(zip(self.names, map(digest, self.files), strict=True))

    def check(self, images: Images, chunk: int) -> None:
        """Read everything once, so that a damaged network is met before the first is trained.

        Raises:
            ConfigError: if a file cannot be read, or the networks cannot classify the images.
            SpecMismatch: if a network is of another architecture or activation.
            ZooError: if a shard is damaged.
        """
        shapes = [shape for shape in map(self.spec.shape, self.spec.axes) if len(shape) == 2]
        have, need = (shapes[0][1], shapes[-1][0]), (images.train_x.shape[1], images.num_classes)
        if have != need:
            raise ConfigError(
                f"networks with {have[0]} inputs and {have[1]} outputs cannot classify {images.name}, which has "
                f"{need[0]} pixels and {need[1]} classes. Choose other --images, or other networks."
            )
        for where in self.chunks(chunk):
            self.read(where)

    def chunks(self, size: int) -> Iterator[range]:
        """Places of the networks, ``size`` at a time."""
        for start in range(0, len(self.names), size):
            yield range(start, min(start + size, len(self.names)))


def open_tunable(path: Path, images: str | None, activation: ActivationName | None) -> Tunable:
    """The networks at ``path``; images and activation are needed unless zoo or files say them.

    Raises:
        ConfigError: if nothing can be read, or what the networks are is not known.
        SpecMismatch: if they are no MLPs, or of another activation.
        ZooError: if the zoo is damaged.
    """
    if (path / "zoo.json").is_file():
        return _open_zoo(path, images, activation)
    files = find_networks([path])
    activation = activation or _stated(files[0])
    if activation is None or images is None:
        missing = "activation" if activation is None else "images"
        example = "tanh" if missing == "activation" else "digits"
        raise ConfigError(
            f"network files do not say which {missing} they were trained with. Add it, e.g. --{missing} {example}."
        )
    return Tunable([file.name for file in files], _mlp_spec(files[0], activation), activation, images, None, files)


def _open_zoo(path: Path, images: str | None, activation: ActivationName | None) -> Tunable:
    zoo = Zoo.open(path)
    own = zoo.of_mlps().target.activation
    if activation not in (None, own):
        raise SpecMismatch(
            f"the networks of the zoo {path} have the activation {own!r}, not {activation!r}. Leave --activation out."
        )
    ids, epochs = zoo.rows["id"], zoo.rows["epoch"]
    names = [f"run-{run:06d}-epoch-{epoch:03d}.safetensors" for run, epoch in zip(ids, epochs, strict=True)]
    return Tunable(names, zoo.spec, own, images or zoo.config.images, zoo, [])


def _stated(path: Path) -> ActivationName | None:
    """The activation that a file says it has."""
    stated = open_checkpoint(path).metadata.get(ACTIVATION)
    return next((name for name in get_args(ActivationName) if name == stated), None)


def _mlp_spec(path: Path, activation: ActivationName) -> SymmetrySpec:
    """The spec of the MLP in a file, by the shapes of its weights."""
    found = open_checkpoint(path).shapes
    weights = sorted((name for name in found if name.endswith(".weight")), key=_layer)
    shapes = [found[name] for name in weights]
    chained = all(len(shape) == 2 for shape in shapes) and all(a[0] == b[1] for a, b in pairwise(shapes))
    if not weights or not chained or weights != [f"layers.{index}.weight" for index in range(len(weights))]:
        raise SpecMismatch(
            f"{path} is no MLP with parameters layers.0.weight, layers.0.bias, ...: it holds "
            f"{', '.join(f'{name} {list(shape)}' for name, shape in found.items())}. "
            "Only such networks can be fine-tuned in one batch; rename the parameters."
        )
    widths = (shapes[0][1], *(shape[0] for shape in shapes))
    return derive(MLP(widths, activation), torch.zeros(1, widths[0]))


def _layer(name: str) -> int:
    number = re.search(r"\d+", name)
    return int(number[0]) if number else -1
