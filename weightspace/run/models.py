"""Trained metanetworks as files: one safetensors file holds weights, configuration, task and spec."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

from pydantic import TypeAdapter, ValidationError
from torch import nn

from .._errors import ConfigError, SpecError
from ..files import atomic
from ..nn import AbstractFamily
from ..spec import SymmetrySpec, parse, to_text
from ..tasks import AbstractTask, Dataset, architecture_of
from ..tasks.improve import first_format
from ..zoo import AnyTarget, Target
from . import record

_FORMAT = "weightspace-model-1"

# How a model was trained is no part of it: its file is the same with and without.
_TRAINING = {"recompute"}
_BUILT_FROM = {"format", "model", "symmetry_broken", "task", "target", "spec"}
_PRETRAINED = Path(__file__).parents[1] / "pretrained"
_TARGET: TypeAdapter[Target] = TypeAdapter(AnyTarget)


@final
@dataclass(frozen=True)
class Trained:
    """A trained metanetwork with what it was trained on.

    ``about`` holds plain text by name: ``recipe``, and what the task says.
    """

    module: nn.Module
    spec: SymmetrySpec
    target: Target
    task: AbstractTask
    family: AbstractFamily
    about: dict[str, str]


def build(family: AbstractFamily, task: AbstractTask, spec: SymmetrySpec, target: Target) -> nn.Module:
    """An untrained metanetwork."""
    return task.model(family, architecture_of(spec, target if family.needs_module else None))


def save(
    path: Path,
    weights: dict[str, Any],
    family: AbstractFamily,
    task: AbstractTask,
    dataset: Dataset,
    recipe: str,
    known: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write a metanetwork's ``state_dict`` with all that is needed to build it again, and what is ``known`` of it."""
    about = task.about(dataset) | dict(known) | {"recipe": recipe, "spec": to_text(dataset.spec)}
    if first_format.fits(family, task, dataset):
        metadata = about | first_format.written(family, _TRAINING)
    else:
        metadata = about | {
            "format": _FORMAT,
            "model": family.model_dump_json(exclude=_TRAINING),
            "task": task.model_dump_json(),
            "target": dataset.target.model_dump_json(),
        }
    atomic.save_tensors(path, weights, metadata)


def load(path: Path) -> Trained:
    """The metanetwork in a checkpoint.

    Raises:
        ConfigError: if the file is missing, corrupt or something else.
    """
    weights, metadata = atomic.load_tensors(path)
    if metadata.get("format") not in (_FORMAT, first_format.NAME):
        raise ConfigError(
            f"{path} is a safetensors file but no metanetwork of this library. Give a run folder, its "
            f"{record.CHECKPOINT}, or one of the pretrained names: {', '.join(pretrained_names()) or 'none'}."
        )
    try:
        spec = parse(metadata["spec"])
        family, task, target = _configured(metadata, spec)
        module = build(family, task, spec, target)
        module.load_state_dict(weights)
    except (KeyError, ValueError, ValidationError, SpecError, RuntimeError) as error:
        raise ConfigError(
            f"the metanetwork in {path} is damaged or was written by another version ({_first_line(error)}). "
            "Train it again or restore the file."
        ) from error
    about = {key: value for key, value in metadata.items() if key not in _BUILT_FROM}
    return Trained(module.eval().requires_grad_(False), spec, target, task, family, about)


def _configured(metadata: Mapping[str, str], spec: SymmetrySpec) -> tuple[AbstractFamily, AbstractTask, Target]:
    if metadata["format"] == first_format.NAME:
        return first_format.read(metadata, spec)
    family = AbstractFamily.read(json.loads(metadata["model"]))
    task = AbstractTask.read(json.loads(metadata["task"]))
    return family, task, _TARGET.validate_json(metadata["target"])


def find(name: str | Path) -> Path:
    """The checkpoint that ``name`` means: a run folder, a checkpoint file or a pretrained name.

    Raises:
        ConfigError: with the closest pretrained name if there is nothing of that name.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        if (path / record.CHECKPOINT).is_file():
            return path / record.CHECKPOINT
        raise ConfigError(
            f"the folder {path} holds no {record.CHECKPOINT}: training has not saved one yet. "
            "Run the same train command again; it continues where it stopped."
        )
    names = pretrained_names()
    if str(name) in names:
        return _PRETRAINED / f"{name}.safetensors"
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise ConfigError(
        f"there is no run folder, checkpoint or pretrained model {str(name)!r}. {hint}"
        f"Pretrained: {', '.join(names) or 'none'}."
    )


def pretrained_names() -> list[str]:
    """Names of the models that ship with the package."""
    return sorted(path.stem for path in _PRETRAINED.glob("*.safetensors"))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
