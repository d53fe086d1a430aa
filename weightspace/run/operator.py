"""Operators as files: one safetensors file holds weights, configuration and spec, so `apply` needs nothing else."""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from pydantic import ValidationError
from torch import nn

from .._errors import ConfigError, SpecError
from .._types import Params
from ..files import atomic
from ..nn import EquivariantOperator
from ..spec import SymmetrySpec, parse, to_text
from ..tasks import select
from . import record
from .config import OperatorConfig

_FORMAT = "weightspace-operator-1"
# How an operator was trained is no part of it: its file is the same with and without.
_TRAINING = {"recompute"}
_PRETRAINED = Path(__file__).parents[1] / "pretrained"


@final
@dataclass(frozen=True)
class Operator:
    """A trained operator with what it was trained on.

    ``about`` holds plain text by name: ``activation``, ``images``, ``objective``, ``recipe``.
    """

    module: nn.Module
    spec: SymmetrySpec
    config: OperatorConfig
    about: dict[str, str]


def build(config: OperatorConfig, spec: SymmetrySpec, *, broken: bool = False) -> EquivariantOperator:
    """An untrained operator; ``broken`` gives its twin without the scale symmetry."""
    return EquivariantOperator(spec, **config.model_dump(exclude=_TRAINING), symmetry_broken=broken)


def save(
    path: Path, weights: dict[str, Any], config: OperatorConfig, broken: bool, spec: SymmetrySpec, about: dict[str, str]
) -> None:
    """Write an operator's ``state_dict`` with all that is needed to build it again."""
    metadata = about | {
        "format": _FORMAT,
        "model": config.model_dump_json(exclude=_TRAINING),
        "symmetry_broken": json.dumps(broken),
        "spec": to_text(spec),
    }
    atomic.save_tensors(path, weights, metadata)


def load(path: Path) -> Operator:
    """The operator in a checkpoint.

    Raises:
        ConfigError: if the file is missing, corrupt or something else.
    """
    weights, metadata = atomic.load_tensors(path)
    if metadata.get("format") != _FORMAT:
        raise ConfigError(
            f"{path} is a safetensors file but no operator of this library. Give a run folder, its "
            f"{record.CHECKPOINT}, or one of the pretrained names: {', '.join(pretrained_names()) or 'none'}."
        )
    try:
        spec = parse(metadata["spec"])
        config = OperatorConfig.model_validate_json(metadata["model"])
        module = build(config, spec, broken=json.loads(metadata["symmetry_broken"]))
        module.load_state_dict(weights)
    except (KeyError, ValueError, ValidationError, SpecError, RuntimeError) as error:
        raise ConfigError(
            f"the operator in {path} is damaged or was written by another version ({_first_line(error)}). "
            "Train it again or restore the file."
        ) from error
    about = {key: metadata.get(key, "") for key in ("activation", "images", "objective", "recipe")}
    return Operator(module.eval().requires_grad_(False), spec, config, about)


@torch.no_grad()
def run_operator(module: nn.Module, params: Params, batch_size: int) -> Params:
    """The operator's outputs for stacked networks, ``batch_size`` at a time."""
    num = len(next(iter(params.values())))
    parts = [module(select(params, slice(start, start + batch_size))) for start in range(0, num, batch_size)]
    return {name: torch.cat([part[name] for part in parts]) for name in params}


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
        f"there is no run folder, checkpoint or pretrained operator {str(name)!r}. {hint}"
        f"Pretrained: {', '.join(names) or 'none'}."
    )


def pretrained_names() -> list[str]:
    """Names of the operators that ship with the package."""
    return sorted(path.stem for path in _PRETRAINED.glob("*.safetensors"))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
