"""Classifiers that can be fine-tuned side by side: the files of a folder, or the rows of a zoo."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final, get_args

import torch
from pydantic import ValidationError

from ..._errors import ConfigError, SpecMismatch
from ...files.checkpoint import ACTIVATION, open_checkpoint
from ...files.folder import find_networks
from ...files.results import digest
from ...gauge import derive
from ...spec import SymmetrySpec
from ...zoo import NATIVE, TARGETS, UNKNOWN, ActivationName, SirenTarget, Target, Zoo, index_fingerprint
from .changed import Network, read_network


@final
@dataclass(frozen=True)
class Classifiers:
    """Networks of one architecture, by name, and what they are."""

    names: list[str]
    spec: SymmetrySpec
    target: Target
    images: str
    zoo: Zoo | None
    files: list[Path]

    @property
    def activation(self) -> str:
        """What happens to hidden pre-activations."""
        return self.target.nonlinearity

    def read(self, where: range) -> list[Network]:
        """The networks at these places."""
        if self.zoo is None:
            return [read_network(self.files[index], self.spec, self.activation, self.target) for index in where]
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

    def check(self, chunk: int) -> None:
        """Read everything once, so that a damaged network is met before the first is trained.

        Raises:
            ConfigError: if a file cannot be read.
            SpecMismatch: if a network is of another architecture or activation.
            ZooError: if a shard is damaged.
        """
        for where in self.chunks(chunk):
            self.read(where)

    def chunks(self, size: int) -> Iterator[range]:
        """Places of the networks, ``size`` at a time."""
        for start in range(0, len(self.names), size):
            yield range(start, min(start + size, len(self.names)))


def open_classifiers(path: Path, images: str | None, activation: ActivationName | None) -> Classifiers:
    """The networks at ``path``; images and activation are needed unless zoo or files say them.

    Raises:
        ConfigError: if nothing can be read, or what the networks are is not known.
        SpecMismatch: if their architecture is not known, or they are of another activation.
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
    target = _recognized(files[0], activation, images)
    spec = derive(target.build(), target.example())
    return Classifiers([file.name for file in files], spec, target, images, None, files)


def _open_zoo(path: Path, images: str | None, activation: ActivationName | None) -> Classifiers:
    zoo = Zoo.open(path)
    target = zoo.config.target
    if isinstance(target, SirenTarget):
        raise SpecMismatch(
            f"{path} is a zoo of the kind {zoo.config.identity()['kind']!r} ({target.kind}): its networks are images, "
            "each fitted to its own, and nothing is there that all could be trained on. Give a zoo of classifiers: "
            "weightspace zoo make digits_mlp_tanh --out DIR"
        )
    if images is None and zoo.config.images == UNKNOWN:
        raise ConfigError(f"the zoo {path} does not say which images its networks read. Add --images NAME.")
    own = target.nonlinearity
    if activation not in (None, own):
        raise SpecMismatch(
            f"the networks of the zoo {path} have the activation {own!r}, not {activation!r}. Leave --activation out."
        )
    ids, epochs = zoo.rows["id"], zoo.rows["epoch"]
    names = [f"run-{run:06d}-epoch-{epoch:03d}.safetensors" for run, epoch in zip(ids, epochs, strict=True)]
    return Classifiers(names, zoo.spec, target, images or zoo.config.images, zoo, [])


def _stated(path: Path) -> ActivationName | None:
    """The activation that a file says it has."""
    stated = open_checkpoint(path).metadata.get(ACTIVATION)
    return next((name for name in get_args(ActivationName) if name == stated), None)


def _recognized(path: Path, activation: ActivationName, images: str) -> Target:
    """The architecture of the network in a file, by the names and shapes of its parameters."""
    shapes = open_checkpoint(path).shapes
    for kind in TARGETS:
        target = kind.of_shapes(shapes, activation)
        if target is not None:
            # Convolutions run on any size: the images say which.
            side = {"side": NATIVE[images][0]} if "side" in kind.model_fields and images in NATIVE else {}
            try:
                return target.model_validate(target.model_dump() | side)
            except ValidationError as error:
                raise ConfigError(
                    f"the networks in {path.parent} are of the kind {target.kind!r}, which cannot read the images "
                    f"{images!r} of {side['side']} pixels a side. Name the set that they were trained on with --images."
                ) from error
    raise SpecMismatch(
        f"{path} is no MLP with parameters layers.0.weight, layers.0.bias, ..., and no other architecture of "
        f"weightspace.zoo: it holds {', '.join(f'{name} {list(shape)}' for name, shape in shapes.items())}. "
        "Only such networks can be fine-tuned in one batch; rename the parameters."
    )
